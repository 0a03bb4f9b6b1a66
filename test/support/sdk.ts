import { type Dict, dict, list } from "../../src/wire/json.ts";
import type { FakeBackend } from "./backend/backend.ts";

/** A red dot: a PNG of one pixel, as Base64. */
export const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";

/** A PDF of one empty page, as Base64. */
export const PDF = Buffer.from(
  "%PDF-1.1\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n" +
    "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" +
    "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n",
).toString("base64");

/** The body of the last turn that the backend got. */
export function lastBody(backend: Pick<FakeBackend, "turns">): Dict {
  return dict(backend.turns().at(-1)?.body);
}

/** The input items of that turn. */
export function lastInput(backend: Pick<FakeBackend, "turns">): readonly Dict[] {
  return list(lastBody(backend)["input"]).map(dict);
}

/** The images and files in the last message of that turn; the words between them are the protocols' own business. */
export function contentSent(backend: Pick<FakeBackend, "turns">): readonly Dict[] {
  const content = list(lastInput(backend).at(-1)?.["content"]).map(dict);
  return content.filter(({ type }) => type !== "input_text");
}

/** What a promise is rejected with. */
export async function failureOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (cause) {
    return cause;
  }
  throw new Error("it was served");
}
