import type { Review } from "../state/review";
import { Dialog } from "../ui/dialog";
import { COMMANDS, numberKey } from "./commands";

export function Help({ review, onClose }: { review: Review; onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <table class="keys">
        <thead class="sr-only">
          <tr>
            <th scope="col">Key</th>
            <th scope="col">What it does</th>
          </tr>
        </thead>
        <tbody>
          {COMMANDS.map((command) => (
            <tr key={command.id}>
              <td>
                <kbd>{command.key}</kbd>
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
              <strong>Name the selection, the suggestion or the document</strong>
              <span class="hint">
                {review.open.categories.value
                  .slice(0, 10)
                  .map(({ category }, index) => `${numberKey(index)} ${category}`)
                  .join(" · ") || "Categories get their numbers in the order they were defined."}
              </span>
            </td>
          </tr>
          <tr>
            <td>
              <kbd>?</kbd>
            </td>
            <td>
              <strong>This help</strong>
              <span class="hint">Escape closes it</span>
            </td>
          </tr>
        </tbody>
      </table>
    </Dialog>
  );
}
