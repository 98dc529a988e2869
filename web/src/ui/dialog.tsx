import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "./icon";
import { ErrorNotice } from "./parts";

interface Props {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  wide?: boolean;
  /** Begins at the title, not in a field: what the dialog warns of is read first. */
  warns?: boolean;
}

const FIELDS = "input, select, textarea";

/** A modal dialog: focus starts in the first field, the browser keeps the focus in it, Escape closes it and the focus goes back. */
export function Dialog({ title, onClose, children, wide, warns }: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  // At once, not after the paint: the next letter that someone types is for the dialog, and no command.
  useLayoutEffect(() => {
    const before = document.activeElement;
    ref.current?.showModal();
    // The browser would begin with the button that closes the dialog.
    const first = ref.current?.querySelector<HTMLElement>(warns ? "h2" : FIELDS);
    // Without a scroll: on a phone it would hide what stands above the field.
    if (!ref.current?.querySelector("[autofocus]")) first?.focus({ preventScroll: true });
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      role="dialog"
      class={wide ? "dialog wide" : "dialog"}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === ref.current && onClose()}
    >
      <div class="dialog-body">
        <header class="dialog-head">
          <h2 id={id} tabIndex={warns ? -1 : undefined}>
            {title}
          </h2>
          <button type="button" class="icon-button" aria-label="Close" onClick={onClose}>
            <Icon name="cross" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

/** The end of a dialog: what went wrong, the button that closes it, and those that act. */
export function DialogActions({
  error,
  cancel = "Cancel",
  onCancel,
  children,
}: {
  error: string | null;
  cancel?: string;
  onCancel: () => void;
  children: ComponentChildren;
}) {
  return (
    <>
      <ErrorNotice message={error} />
      <div class="actions">
        <button type="button" class="quiet" onClick={onCancel}>
          {cancel}
        </button>
        {children}
      </div>
    </>
  );
}
