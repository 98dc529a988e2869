import type { Review } from "../state/review";
import { Dialog } from "../ui/dialog";
import { keyCap } from "../state/keyboard";
import { commandsOf } from "./commands";

export function Help({ review, onClose }: { review: Review; onClose: () => void }) {
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
      <table class="keys">
        <thead class="sr-only">
          <tr>
            <th scope="col">Key</th>
            <th scope="col">What it does</th>
          </tr>
        </thead>
        <tbody>
          {commandsOf(review).map((command) => (
            <tr key={command.id}>
              <td>
                <Key name={command.key} />
              </td>
              <td>
                <strong>{command.name}</strong>
                <span class="hint">{command.help}</span>
              </td>
            </tr>
          ))}
          <tr>
            <td>
              <kbd>1</kbd>…<kbd>0</kbd>
            </td>
            <td>
              <strong>Choose a category</strong>
              <span class="hint break">
                {[...review.choices.byDigit.value]
                  .map(([digit, category]) => `${digit} ${category}`)
                  .join(" · ") || "The number keys follow the order in which categories are defined."}
              </span>
            </td>
          </tr>
          <tr>
            <td>
              <kbd>/</kbd> <Key name="c" />
            </td>
            <td>
              <strong>Find a category</strong>
              <span class="hint">Type a part of its name; Enter chooses it</span>
            </td>
          </tr>
          <tr>
            <td>
              <kbd>?</kbd>
            </td>
            <td>
              <strong>Show this list</strong>
              <span class="hint">Escape closes it</span>
            </td>
          </tr>
        </tbody>
      </table>
    </Dialog>
  );
}

/** A key as it is printed on the keyboard in use, with its Latin letter where the two differ. */
function Key({ name }: { name: string }) {
  const cap = keyCap(name);
  return (
    <>
      <kbd>{cap}</kbd>
      {cap !== name && <span class="hint"> ({name})</span>}
    </>
  );
}
