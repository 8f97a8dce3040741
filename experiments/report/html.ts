/**
 * HTML by a template tag that escapes whatever is put into it.
 *
 * @module
 */

/** HTML that is already safe. */
export type Html = { readonly html: string };

type Part = Html | string | number | undefined | readonly Part[];

/**
 * Builds HTML; strings are escaped for text and for quoted attributes, nested HTML is kept, lists
 * are joined and undefined is left out.
 *
 * ```ts
 * import { html } from "./html.ts";
 * import assert from "node:assert/strict";
 * assert.equal(html`<b title="${'"'}">${"<i>"}</b>`.html, '<b title="&quot;">&lt;i&gt;</b>');
 * ```
 */
export function html(literals: TemplateStringsArray, ...parts: Part[]): Html {
  return { html: literals.reduce((out, literal, i) => out + part(parts[i - 1]) + literal) };
}

function part(value: Part): string {
  if (value === undefined) return "";
  if (typeof value === "object") return "html" in value ? value.html : value.map(part).join("");
  return escapeHtml(String(value));
}

/** Escapes text for HTML, in elements and in quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;").replaceAll("'", "&#39;");
}

/** JSON that may stand in a script element: no `<`, so neither `</script>` nor `<!--`. */
export function scriptJson(value: unknown): Html {
  return { html: JSON.stringify(value).replaceAll("<", "\\u003c") };
}

/**
 * A script that may stand in a script element.
 *
 * `</script` and `<!--` can occur only within its strings and regular expressions, where an escaped
 * character means the same.
 */
export function scriptSource(source: string): Html {
  return { html: source.replaceAll(/<\/(script)/gi, "<\\/$1").replaceAll("<!--", "\\x3c!--") };
}
