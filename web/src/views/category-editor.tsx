/** The categories of a project: add, rename, describe, remove. */

import { useSignal } from "@preact/signals";
import { putCategories, removeCategories } from "../api/client";
import type { Category } from "../api/types";
import { may } from "../auth/session";
import type { OpenProject } from "../state/project";
import { toast } from "../state/toasts";
import { CategoryName } from "../ui/category";
import { Dialog } from "../ui/dialog";
import { ErrorNotice, Field, TextInput } from "../ui/parts";
import { useAction } from "../ui/use-action";

export function CategoryEditor({ open }: { open: OpenProject }) {
  const editing = useSignal<Category | null>(null);
  const writable = may("Projects.Write") && open.lock.value === null;
  const categories = open.categories.value;
  return (
    <section class="card stack" aria-labelledby="settings-categories">
      <h2 id="settings-categories">Categories</h2>
      {!categories.length && <p class="hint">No categories yet.</p>}
      {categories.length > 0 && (
        <ul class="category-rows" role="list" aria-labelledby="settings-categories" tabIndex={0}>
          {categories.map((category) => (
            <li key={category.category}>
              <CategoryName name={category.category} hue={open.hues.value.get(category.category)} />
              <span class="hint">{category.description}</span>
              {writable && (
                <button
                  type="button"
                  class="quiet small"
                  aria-label={`Edit ${category.category}`}
                  onClick={() => (editing.value = category)}
                >
                  Edit
                </button>
              )}
            </li>
          ))}
        </ul>
      )}
      {writable && (
        <div class="actions start">
          <button type="button" onClick={() => (editing.value = { category: "" })}>
            Add category
          </button>
        </div>
      )}
      {editing.value && (
        <CategoryDialog open={open} category={editing.value} onClose={() => (editing.value = null)} />
      )}
    </section>
  );
}

interface DialogProps {
  open: OpenProject;
  /** The category to edit; one without a name is new. */
  category: Category;
  onClose: () => void;
}

function CategoryDialog({ open, category, onClose }: DialogProps) {
  const before = category.category;
  const name = useSignal(before);
  const description = useSignal(category.description ?? "");
  const { busy, error, run } = useAction();
  const change = (action: () => Promise<Category[]>, done: string): void =>
    void run(async () => {
      open.categories.value = await action();
      toast(done, "good");
      onClose();
    });
  const submit = (event: Event): void => {
    event.preventDefault();
    const edit = {
      category: name.value,
      description: description.value,
      ...(before && name.value !== before ? { previousCategory: before } : {}),
    };
    change(() => putCategories(open.name, [edit]), before ? "Category updated." : "Category added.");
  };
  return (
    <Dialog title={before ? "Edit category" : "Add category"} onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <Field label="Name" {...(before ? { hint: "Renaming keeps all labels and suggestions." } : {})}>
          <TextInput required maxLength={50} signal={name} />
        </Field>
        <Field label="Description" hint="Shown to reviewers, and used by engines that read names">
          <TextInput signal={description} />
        </Field>
        <ErrorNotice message={error.value} />
        <div class="actions">
          {before && (
            <button
              type="button"
              class="danger"
              title="A category that labels use cannot be removed"
              disabled={busy.value}
              onClick={() => change(() => removeCategories(open.name, [before]), "Category removed.")}
            >
              Remove
            </button>
          )}
          <button type="button" class="quiet" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={busy.value}>
            {before ? "Save category" : "Add"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
