"""The deployment describes what the code needs: settings, queues, tables, containers, functions, event filters."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from shared.domain import names
from shared.runtime.settings import Settings
from tests.infra.compiled import INFRA, ROOT, named, resources, template

BACKGROUND = ROOT / "functions" / "background.py"
HOOK = (INFRA / "postdeploy.sh").read_text("utf-8")
#: Not compared, in either direction: read by libraries of Azure from the environment.
OF_LIBRARIES = re.compile(r"APPLICATIONINSIGHTS_|AZURE_CLIENT_|AZURE_TENANT_", re.IGNORECASE)
#: The connection of the host with storage is one setting locally, and on Azure its parts: `AzureWebJobsStorage` would
#: hold a key, and `__credential` says to the host alone that the identity is used.
STORAGE_LOCALLY, STORAGE_ON_AZURE = {"azurewebjobsstorage"}, {"azurewebjobsstorage__credential"}
#: The platform's own, which Flex Consumption sets itself or does not take.
OF_PLATFORM = re.compile(r"(?!functions_request_body_size_limit$)(functions|website|identity|msi)_")


def test_app_settings_are_those_of_the_code(home: Path) -> None:
    [site] = [resource for resource in resources(template(home)) if resource["type"] == "Microsoft.Web/sites"]
    deployed = {setting["name"] for setting in site["properties"]["siteConfig"]["appSettings"]}
    sample = json.loads((ROOT / "local.settings.sample.json").read_text("utf-8"))["Values"]
    names = [name for name in [*Settings.model_fields, *sample] if not OF_LIBRARIES.match(name)]
    known = {name.lower() for name in names if not name.startswith("LOCAL_")}
    known = {name for name in known if not OF_PLATFORM.match(name)}
    ours = {name.lower() for name in deployed if not OF_LIBRARIES.match(name)}
    assert ours - STORAGE_ON_AZURE == known - STORAGE_LOCALLY
    assert ours >= STORAGE_ON_AZURE


def test_no_file_has_three_dots() -> None:
    """The spread operator, and what a parser that does not know texts would take for one."""
    files = sorted(INFRA.glob("**/*.bicep"))
    assert len(files) > 10
    assert [file.name for file in files if "..." in file.read_text("utf-8")] == []


def test_literal_settings_are_the_defaults_of_the_code(home: Path) -> None:
    [site] = [resource for resource in resources(template(home)) if resource["type"] == "Microsoft.Web/sites"]
    values = {s["name"].lower(): s["value"] for s in site["properties"]["siteConfig"]["appSettings"]}
    defaults = {name: str(field.default) for name, field in Settings.model_fields.items()}
    literal = {
        n: v for n, v in values.items() if not v.startswith("[") and n in defaults and n != "auth_mode"
    }
    assert len(literal) >= 5
    assert literal == {name: defaults[name] for name in literal}


def test_queues_are_those_that_functions_read(home: Path) -> None:
    found = named(template(home), "Microsoft.Storage/storageAccounts/queueServices/queues")
    for queue in (names.WORK_QUEUE, names.BATCH_QUEUE, names.FIT_QUEUE, names.EVENT_QUEUE):
        assert any(
            name.endswith(f"format('{{0}}-{queue}', parameters('tablePrefix')))]") for name in found
        ), queue
    assert len(found) == 4


def test_tables_are_those_of_the_composition_root(home: Path) -> None:
    source = (ROOT / "shared/runtime/container.py").read_text("utf-8")
    tables = set(re.findall(r'clients\.table\("(\w+)"\)', source))
    found = named(template(home), "Microsoft.Storage/storageAccounts/tableServices/tables")
    assert len(found) == len(tables) == 2
    for table in tables:
        assert any(f"'{{0}}{table}'" in name for name in found), table


def test_secrets_are_read_from_the_vault_that_holds_them(home: Path) -> None:
    built = template(home)
    [app] = [part for part in resources(built) if part["name"] == "app"]
    references = app["properties"]["parameters"]["vaultReferences"]["value"]
    [vault] = [part for part in resources(built) if part["name"] == "vault"]
    assert set(references) == set(vault["properties"]["template"]["variables"]["settings"])
    for name, reference in references.items():
        assert f"secrets/{name.lower().replace('_', '-')})" in reference


def test_the_app_may_send_to_the_topic_alone(home: Path) -> None:
    [topic] = [part for part in resources(template(home)) if "labelbridge-topic" in part["name"]]
    inner = topic["properties"]["template"]
    assert inner["variables"]["dataSender"] == "d5a91429-5739-47e2-a06b-3470a27159e7"
    [assignment] = [part for part in resources(inner) if part["type"].endswith("roleAssignments")]
    assert "Microsoft.EventGrid/topics" in assignment["scope"]


def test_the_app_owns_the_language_resource_only_for_pushes(home: Path) -> None:
    built = template(home)
    [language] = [part for part in resources(built) if "labelbridge-language" in part["name"]]
    role = str(language["properties"]["parameters"]["roleId"])
    owner, reader = (f"createObject('value', variables('language{name}'))" for name in ("Owner", "Reader"))
    assert f"if(parameters('languagePushes'), {owner}, {reader})" in role
    assert built["parameters"]["languagePushes"]["defaultValue"] is False
    assert built["variables"]["languageOwner"] == "f07febfe-79bc-46b1-8b37-790e26e6e498"
    assert built["variables"]["languageReader"] == "7628b7b8-a8b2-4cdc-b46f-e9b35248918e"


def test_the_app_may_read_role_assignments_of_the_account_when_it_connects_with_aml(home: Path) -> None:
    """Connecting lists the role assignments of the workspace's identity on the storage account."""
    [storage] = [part for part in resources(template(home)) if part["name"] == "storage"]
    asked = storage["properties"]["parameters"]["readsAssignments"]["value"]
    assert asked == "[not(empty(parameters('amlWorkspaceId')))]"
    inner = storage["properties"]["template"]
    assert inner["variables"]["reader"] == "acdd72a7-3385-48ef-bd42-f606fba81ae7"
    [assignment] = [
        part
        for part in resources(inner)
        if part["type"].endswith("roleAssignments") and "variables('reader')" in str(part["properties"])
    ]
    assert assignment["condition"] == "[parameters('readsAssignments')]"
    assert "Microsoft.Storage/storageAccounts'" in assignment["scope"]
    for page in ("connection.md", "how-to/label-with-vendors.md", "deploy.md"):
        assert "*Reader*" in (ROOT / "docs" / page).read_text("utf-8"), page


def test_a_locked_policy_of_the_tombstones_is_not_written_again(home: Path) -> None:
    """A locked policy refuses every update but a longer time; what a deployment leaves out stays as it is."""
    kind = "Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies"
    built = template(home)
    [policy] = [part for part in resources(built) if part["type"] == kind]
    assert policy["condition"] == "[not(parameters('tombstonesLocked'))]"
    [storage] = [part for part in resources(built) if part["name"] == "storage"]
    asked = storage["properties"]["parameters"]["tombstonesLocked"]["value"]
    assert asked == "[parameters('tombstonesLocked')]"
    for text in (HOOK, (ROOT / "docs/deploy.md").read_text("utf-8")):
        assert "azd env set TOMBSTONES_LOCKED true" in text


def test_the_system_topic_may_write_dead_letters_alone(home: Path) -> None:
    [events] = [part for part in resources(template(home)) if part["name"] == "events"]
    [assignment] = [
        part
        for part in resources(events["properties"]["template"])
        if part["type"].endswith("roleAssignments")
    ]
    assert "'Microsoft.Storage/storageAccounts/blobServices/containers'" in assignment["scope"]
    assert "format('{0}-dead-letters', parameters('tablePrefix'))" in assignment["scope"]
    assert 'dead_letters="$DEAD_LETTER_ENDPOINT/$prefix-dead-letters"' in HOOK


def test_the_tombstones_cannot_be_deleted_before_their_time(home: Path) -> None:
    kind = "Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies"
    [policy] = [resource for resource in resources(template(home)) if resource["type"] == kind]
    assert "-tombstones" in policy["name"]
    assert template(home)["parameters"]["tombstonesLocked"]["defaultValue"] is False
    assert "tombstones" in (ROOT / "shared/connection/factory.py").read_text("utf-8")


def test_security_properties_are_literals(home: Path) -> None:
    built = resources(template(home))
    [account] = [
        resource
        for resource in built
        if resource["type"] == "Microsoft.Storage/storageAccounts" and "sku" in resource
    ]
    assert account["properties"]["allowSharedKeyAccess"] is False
    assert account["properties"]["allowBlobPublicAccess"] is False
    assert account["properties"]["minimumTlsVersion"] == "TLS1_2"
    assert account["properties"]["supportsHttpsTrafficOnly"] is True
    containers = [resource for resource in built if resource["type"].endswith("blobServices/containers")]
    assert len(containers) == 5
    assert all(container["properties"]["publicAccess"] == "None" for container in containers)
    [vault] = [resource for resource in built if resource["type"] == "Microsoft.KeyVault/vaults"]
    assert vault["properties"]["enablePurgeProtection"] is True
    assert vault["properties"]["enableRbacAuthorization"] is True
    [site] = [resource for resource in built if resource["type"] == "Microsoft.Web/sites"]
    assert site["properties"]["httpsOnly"] is True
    assert site["properties"]["siteConfig"]["minTlsVersion"] == "1.2"
    assert site["properties"]["siteConfig"]["ftpsState"] == "Disabled"
    assert site["properties"]["functionAppConfig"]["runtime"] == {"name": "python", "version": "3.13"}
    assert site["identity"]["type"] == "UserAssigned"
    [insights] = [resource for resource in built if resource["type"] == "Microsoft.Insights/components"]
    assert insights["properties"]["DisableLocalAuth"] is True
    passwords = [part for part in built if part["type"].endswith("/basicPublishingCredentialsPolicies")]
    assert [part["properties"]["allow"] for part in passwords] == [False, False]


def test_the_app_is_made_when_the_network_leads_to_what_it_reads(home: Path) -> None:
    """The platform reads Key Vault at once, and remembers for hours that it could not."""
    [app] = [part for part in resources(template(home)) if part["name"] == "app"]
    after = " ".join(app["dependsOn"])
    assert all(f"'{module}')" in after for module in ("endpoints", "storage", "vault"))


def test_alerts_can_be_made_before_the_first_metrics(home: Path) -> None:
    """A new workspace has no table of metrics yet, which a check of the query would not find."""
    [rules] = [part for part in resources(template(home)) if part["type"].endswith("/scheduledQueryRules")]
    assert rules["properties"]["skipQueryValidation"] is True


def test_the_host_gets_the_limits_of_the_sample(home: Path) -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text("utf-8"))["Values"]
    [site] = [resource for resource in resources(template(home)) if resource["type"] == "Microsoft.Web/sites"]
    settings = str(site["properties"]["siteConfig"]["appSettings"])
    for name in ("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "AzureWebJobsDisableHomepage"):
        assert re.search(rf"'{name}'(, 'value', |\W+value\W+)'?{sample[name]}'?", settings), name


def test_two_environments_of_a_subscription_share_no_name(home: Path) -> None:
    built = template(home)
    assert "parameters('environmentName')" in built["variables"]["suffix"]
    [group] = [part for part in resources(built) if part["type"] == "Microsoft.Resources/resourceGroups"]
    assert "parameters('environmentName')" in group["name"]


def test_no_instance_is_kept_ready_unasked(home: Path) -> None:
    assert template(home)["parameters"]["alwaysReady"]["defaultValue"] == []


def test_the_app_has_no_health_check_which_flex_consumption_lacks(home: Path) -> None:
    built = resources(template(home))
    [plan] = [part for part in built if part["type"] == "Microsoft.Web/serverfarms"]
    [site] = [part for part in built if part["type"] == "Microsoft.Web/sites"]
    assert plan["sku"]["tier"] == "FlexConsumption"
    assert "healthCheckPath" not in site["properties"]["siteConfig"]
    assert "Flex Consumption has no such check" in (ROOT / "docs/operate.md").read_text("utf-8")


def test_the_service_of_azd_is_the_function_app(home: Path) -> None:
    text = (ROOT / "azure.yaml").read_text("utf-8")
    [service] = re.findall(r"^services:\n  (\w+):\n", text, re.MULTILINE)
    assert "    language: python\n    host: function\n" in text
    [site] = [resource for resource in resources(template(home)) if resource["type"] == "Microsoft.Web/sites"]
    assert f"'azd-service-name', '{service}'" in site["tags"]
    [hooks] = re.findall(r"^hooks:\n((?:  .*\n)+)", text, re.MULTILINE)
    scripts = dict(re.findall(r"^  (\w+):\n    shell: sh\n    run: (\S+)$", hooks, re.MULTILINE))
    assert scripts == {"prepackage": "scripts/web.sh", "postdeploy": "infra/postdeploy.sh"}
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts.values())


def test_events_go_to_functions_that_exist() -> None:
    functions = (ROOT / "functions/background.py").read_text("utf-8")
    assert "Host.Functions.document_uploaded" in HOOK
    assert "$app_id/functions/storage_event" in HOOK
    for name in ("document_uploaded", "storage_event"):
        assert f"async def {name}(" in functions


#: Notes what it is asked, and answers `value`; the state of a policy is Locked once it was locked. The subscriptions
#: that lead to the app are in `az.listed`.
AZ = """#!/bin/sh
printf "%s\\n" "$@" -- >> "$0.log"
case "$* " in
    *"event-subscription list "*) cat "$0.listed" 2> /dev/null || true ;;
    *" lock "*) touch "$0.locked" ;;
    *"--query state "*) [ -e "$0.locked" ] && echo Locked || echo Unlocked ;;
    *) echo value ;;
esac
"""


def _run_hook(tmp_path: Path, **given: str) -> list[str]:
    """The calls of `az` by one run of the hook, a line for each word; the variables not given are in lower case."""
    az = tmp_path / "az"
    az.write_text(AZ)
    az.chmod(0o755)
    log = tmp_path / "az.log"
    log.write_text("")
    names = re.findall(r"\$\{?([A-Z][A-Z_]+)", HOOK)
    values = {name: name.lower() for name in names} | {"MORE_DOCUMENTS_CONTAINERS": "more,others"} | given
    environment = {**os.environ, **values, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", str(INFRA / "postdeploy.sh")], env=environment, check=True, capture_output=True)
    return log.read_text("utf-8").split("\n--\n")


def _subscriptions(tmp_path: Path, **given: str) -> dict[str, dict[str, list[str]]]:
    """The options of each event subscription that the hook makes, by its name."""
    found: dict[str, dict[str, list[str]]] = {}
    for call in _run_hook(tmp_path, **given):
        options = {part.split("\n")[0]: part.split("\n")[1:] for part in f"\n{call}".split("\n--")[1:]}
        if "event-subscription\ncreate" in call:
            [name] = options["name"]
            assert name not in found, "a second subscription of the same name replaces the first"
            found[name] = options
    return found


def test_subscriptions_of_containers_with_any_names_stay_apart(tmp_path: Path) -> None:
    long = "x" * 62
    more = f"documents,{long}a,{long}b,{'y' * 56},{'z' * 57}"
    made = _subscriptions(tmp_path, DOCUMENTS_CONTAINER="inbox", MORE_DOCUMENTS_CONTAINERS=more)
    assert {"inbox-created", "inbox-changed", "inbox-moved", "documents-changed", "documents-moved"} < set(
        made
    )
    assert made["inbox-changed"]["subject-begins-with"][0].endswith("/containers/inbox/")
    assert made["documents-changed"]["subject-begins-with"][0].endswith("/containers/documents/")
    assert f"{'y' * 56}-changed" in made
    assert len(made) == 3 + 2 * 5
    assert max(len(name) for name in made) == 64
    assert all(re.fullmatch(r"[A-Za-z0-9-]{3,64}", name) for name in made)


def test_subscriptions_that_are_not_needed_any_more_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "az.listed").write_text(
        "documents_container-created\nformer-changed\nmore-changed\nformer-moved\n"
    )
    calls = _run_hook(tmp_path)
    deleted = [call.split("\n") for call in calls if "event-subscription\ndelete" in call]
    assert [words[words.index("--name") + 1] for words in deleted] == ["former-changed", "former-moved"]
    [listed] = [call for call in calls if "event-subscription\nlist" in call]
    assert "'function_app_url/'" in listed
    assert "'/sites/function_app_name/functions/'" in listed


def test_the_policy_of_the_tombstones_is_locked_once(tmp_path: Path) -> None:
    runs = [_run_hook(tmp_path, LOCK_TOMBSTONES="yes") for _ in range(2)]
    locked = [[call for call in calls if "\nlock\n" in call] for calls in runs]
    assert [len(calls) for calls in locked] == [1, 0]
    assert locked[0][0].endswith("--if-match\nvalue\n--output\nnone")


def test_the_policy_of_the_tombstones_is_not_locked_unasked(tmp_path: Path) -> None:
    assert not [call for call in _run_hook(tmp_path) if "immutability-policy" in call]


def test_subscriptions_deliver_every_event_that_the_code_reads(tmp_path: Path) -> None:
    read = set(re.findall(r"\"(Microsoft\.Storage\.\w+)\"", BACKGROUND.read_text("utf-8")))
    assert len(read) == 5
    made = _subscriptions(tmp_path)
    types = {name: set(options["included-event-types"]) for name, options in made.items()}
    begins = {name: options["subject-begins-with"][0] for name, options in made.items()}

    assert types["documents_container-created"] | types["documents_container-changed"] == read
    assert types["documents_container-created"] & types["documents_container-changed"] == set()
    for container in ("more", "others"):
        assert types[f"{container}-changed"] == read
        assert begins[f"{container}-changed"].endswith(f"/containers/{container}/")
    for container in ("documents_container", "more", "others"):
        moved = made[f"{container}-moved"]
        assert moved["advanced-filter"][:2] == ["data.sourceUrl", "StringContains"]
        assert moved["advanced-filter"][2] == f".dfs.value/{container}/"
        assert types[f"{container}-moved"] == {
            event_type for event_type in read if event_type.endswith("Renamed")
        }
        assert begins[f"{container}-moved"].endswith("/containers/")
    for name in (
        "documents_container-created",
        "documents_container-changed",
        "more-changed",
        "others-changed",
    ):
        assert made[name]["advanced-filter"] == ["data.api", "StringNotIn", "CreateFile"]
    for options in made.values():
        assert options["deadletter-identity"] == ["systemassigned"]
        [dead_letters] = options["deadletter-identity-endpoint"]
        assert dead_letters == "dead_letter_endpoint/table_prefix-dead-letters"
    assert len(made) == 7


def test_the_hook_is_a_valid_script() -> None:
    subprocess.run(["sh", "-n", str(INFRA / "postdeploy.sh")], check=True)


def test_outputs_are_what_the_hook_reads(home: Path) -> None:
    read = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", HOOK)) - {"LOCK_TOMBSTONES"}
    assert read <= set(template(home)["outputs"])


#: Built-in roles by id, as https://learn.microsoft.com/azure/role-based-access-control/built-in-roles lists them.
ROLES = {
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd": "Cognitive Services OpenAI User",
    "7628b7b8-a8b2-4cdc-b46f-e9b35248918e": "Cognitive Services Language Reader",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "d5a91429-5739-47e2-a06b-3470a27159e7": "EventGrid Data Sender",
    "f07febfe-79bc-46b1-8b37-790e26e6e498": "Cognitive Services Language Owner",
    "f6c7c914-8db3-469d-8ca1-694a8f32e121": "AzureML Data Scientist",
}
OF_THE_SYSTEM_TOPIC = "Storage Blob Data Contributor"
GUID = re.compile(r"'([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'(?: // (.*))?")


def test_every_role_is_the_one_that_its_comment_names() -> None:
    found = [pair for file in INFRA.glob("**/*.bicep") for pair in GUID.findall(file.read_text("utf-8"))]
    assert dict(found) == ROLES
    assert all(ROLES[role] == comment for role, comment in found)


def test_every_role_is_in_the_documentation() -> None:
    text = (ROOT / "docs/deploy.md").read_text("utf-8")
    table = text.partition("### Roles of the app's identity")[2].partition("###")[0]
    assert sorted(re.findall(r"^\| \*([\w ]+)\* \|", table, re.MULTILINE)) == sorted(
        set(ROLES.values()) - {OF_THE_SYSTEM_TOPIC}
    )
    assert f"*{OF_THE_SYSTEM_TOPIC}* on the container of the dead letters" in table


def test_types_of_events_are_those_of_blob_storage() -> None:
    """As https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage lists them."""
    assert set(re.findall(r"Microsoft\.Storage\.\w+", HOOK)) == {
        "Microsoft.Storage.BlobCreated",
        "Microsoft.Storage.BlobDeleted",
        "Microsoft.Storage.BlobRenamed",
        "Microsoft.Storage.DirectoryDeleted",
        "Microsoft.Storage.DirectoryRenamed",
    }


def test_values_of_json_may_be_in_base64(home: Path) -> None:
    """Azd replaces `${NAME}` in the text of the parameter file, where quotes would end the value."""
    parameters = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
    built = json.dumps(template(home))
    encoded = {
        "apiKeys": "API_KEYS",
        "engineBudgets": "ENGINE_BUDGETS",
        "extraEngines": "EXTRA_ENGINES",
        "webhooks": "WEBHOOKS",
        "webhookHosts": "WEBHOOK_HOSTS",
        "webhookSecrets": "WEBHOOK_SECRETS",
    }
    [listed] = re.findall(
        r"variables that are JSON \(([^)]+)\)", (ROOT / "docs/deploy.md").read_text("utf-8")
    )
    assert re.findall(r"\w+", listed) == list(encoded.values())
    for name in encoded:
        assert name in parameters
        assert f"base64ToString(parameters('{name}'))" in built


#: Not text, a number or a truth value: edited in main.parameters.json, as docs/deploy.md says.
EDITED = {"alwaysReady"}
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?:=([^{}]*))?\}")


def test_every_parameter_has_its_variable(home: Path) -> None:
    """Azd takes text as it is, and turns it into a number or a truth value where the parameter is one."""
    declared: dict[str, Any] = template(home)["parameters"]
    given = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
    assert set(given) == set(declared)
    matches = {name: VARIABLE.fullmatch(str(given[name]["value"])) for name in set(given) - EDITED}
    variables = {name: (match[1], match[2]) for name, match in matches.items() if match}
    assert set(matches) == set(variables)
    assert len({variable for variable, _ in variables.values()}) == len(variables)
    for name, (_, default) in variables.items():
        kind, declaration = declared[name]["type"].lower(), declared[name].get("defaultValue")
        assert kind in {"string", "securestring", "int", "bool"}, name
        if kind in {"int", "bool"}:
            assert json.loads(default) == declaration, name
        else:
            assert default == (declaration and declaration.replace("[[", "[")), name  # "[[" is a text's "["
    for name in EDITED:
        assert given[name]["value"] == declared[name]["defaultValue"]
    sentence = "which environment variable sets each of them. The exception is `alwaysReady`"
    assert sentence in (ROOT / "docs/deploy.md").read_text("utf-8")
