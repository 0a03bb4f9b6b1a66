import { type Dict, dict, isDict, list, text } from "../../wire/json.ts";

/** What Claude's clients are told of who made a call: the model itself, not a program of its own. */
export const DIRECT: Dict = { type: "direct" };

/** Where an answer was found. */
export type Source = { readonly url: string; readonly title: string };

/** The query of a search that the backend ran; undefined for what is no search, such as opening a page it found. */
export function queryOf(item: Dict): string | undefined {
  const action = dict(item["action"]);
  const type = text(action["type"]);
  if (type !== undefined && type !== "search") return undefined;
  const queries = list(action["queries"]).filter((query) => typeof query === "string");
  return text(action["query"]) ?? queries.join(", ");
}

/** The pages that a search looked at; undefined where the backend does not say. */
export function sourcesOf(item: Dict): readonly Source[] | undefined {
  const { sources } = dict(item["action"]);
  return Array.isArray(sources) ? sources.map(sourceOf).filter(isSource) : undefined;
}

/** The page that an annotation of the backend's cites; undefined for annotations of other kinds. */
export function citedBy(annotation: Dict): Source | undefined {
  return annotation["type"] === "url_citation" ? sourceOf(annotation) : undefined;
}

/**
 * A citation in Claude's form. The backend does not give the words of the page, and there is nothing encrypted to
 * carry: both stay empty.
 */
export function citationOf({ url, title }: Source): Dict {
  return {
    type: "web_search_result_location",
    url,
    title,
    encrypted_index: "",
    cited_text: "",
  };
}

/** A search's results in Claude's form. */
export function resultBlock(callId: string, sources: readonly Source[]): Dict {
  return {
    type: "web_search_tool_result",
    tool_use_id: callId,
    caller: DIRECT,
    content: sources.map(({ url, title }) => ({
      type: "web_search_result",
      url,
      title,
      encrypted_content: "",
      page_age: null,
    })),
  };
}

/** A search in a client's history as the backend's own item; Codex sends such items back without an id too. */
export function searchItem(query: string): Dict {
  return { type: "web_search_call", status: "completed", action: { type: "search", query } };
}

/** The results of an earlier search in words, because there is no item that would hold them. */
export function describeResults(content: unknown): string {
  if (!Array.isArray(content)) {
    const code = text(dict(content)["error_code"]) ?? "unknown error";
    return `The web search failed: ${code}.`;
  }
  const found = content.map(sourceOf).filter(isSource);
  if (found.length === 0) return "The web search found no pages.";
  return ["Found on the web:", ...found.map(({ title, url }) => `- ${title} (${url})`)].join("\n");
}

function sourceOf(value: unknown): Source | undefined {
  if (!isDict(value)) return undefined;
  const url = text(value["url"]);
  return url === undefined ? undefined : { url, title: text(value["title"]) ?? url };
}

function isSource(source: Source | undefined): source is Source {
  return source !== undefined;
}
