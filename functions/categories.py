"""HTTP: categories and counts."""

from functions.http import Call, P, Routes
from functions.reply import Reply
from shared.domain.project import Project
from shared.services.categories import CategoryChange
from shared.wire.api_autolabel import CategoriesBody, CategoryList, CategoryNames, Statistics

routes = Routes()


@routes.add("GET", f"{P}/categories", {200: CategoryList})
async def list_categories(call: Call) -> Reply:
    """List the categories of a project."""
    return _categories(await call.container.projects.get(call.project_name))


@routes.add("PUT", f"{P}/categories", {200: CategoryList})
async def put_categories(call: Call, body: CategoriesBody) -> Reply:
    """Define, describe or rename categories; those not named stay as they are."""
    changes = [CategoryChange(one.category, one.description, one.previous_category) for one in body.value]
    return _categories(await call.container.categories.put(call.project_name, changes, call.caller.name))


@routes.add("POST", f"{P}/categories/:remove", {200: CategoryList})
async def remove_categories(call: Call, body: CategoryNames) -> Reply:
    """Remove categories that no label uses, and what is suggested of them."""
    return _categories(
        await call.container.categories.remove(call.project_name, body.categories, call.caller.name)
    )


@routes.add("GET", f"{P}/statistics", {200: Statistics})
async def get_statistics(call: Call) -> Reply:
    """Get counts by status, labels by category, and the share accepted by confidence."""
    return Reply(200, await call.container.categories.statistics(call.project_name))


def _categories(project: Project) -> Reply:
    value = [
        {"category": c.name} | ({"description": c.description} if c.description else {})
        for c in project.categories
    ]
    return Reply(200, {"value": value})
