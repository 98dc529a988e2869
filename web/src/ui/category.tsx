import { visible } from "../domain/format";

/** How a category is shown: its color, its name with every blank visible, the whole name in a tooltip. */

export function CategoryName({ name, hue }: { name: string; hue: number | undefined }) {
  return (
    <span class={`category hue-${hue ?? "none"}`} title={name}>
      <span class="swatch" aria-hidden="true" />
      <bdi>{visible(name)}</bdi>
    </span>
  );
}

interface Props {
  id?: string;
  title?: string;
  disabled?: boolean;
  "aria-label"?: string;
  "aria-describedby"?: string;
  categories: readonly string[];
  value: string;
  /** Text of the option for no category; without it there is none. */
  any?: string;
  onChange: (category: string) => void;
}

/** A select of categories. Its values are given explicitly: the text of an option loses spaces. */
export function CategorySelect({ categories, value, any, onChange, ...rest }: Props) {
  const options = value && !categories.includes(value) ? [value, ...categories] : categories;
  return (
    <select {...rest} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
      {any !== undefined && <option value="">{any}</option>}
      {options.map((category) => (
        <option key={category} value={category}>
          {visible(category)}
        </option>
      ))}
    </select>
  );
}
