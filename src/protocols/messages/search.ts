import { type Dict, dict, isDict, list, text } from "../../wire/json.ts";
import { type BlockWriter, DIRECT } from "./blocks.ts";

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
function citationOf({ url, title }: Source): Dict {
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

/** The searches of one answer. */
export type Searches = {
  /** A search that is over. */
  readonly add: (itemId: string, item: Dict) => void;
  /** A page that the answer's open text cites. */
  readonly cite: (source: Source) => void;
  /** Tells the results that are still owed; call it when all has been said. */
  readonly settle: () => void;
  readonly count: () => number;
};

/**
 * Tells searches of the web, each as a call and its results. Where the backend does not say what a search found, the
 * pages that the answer cites are its results, told at the end; of several such searches they go to the last.
 */
export function createSearches(out: BlockWriter): Searches {
  const cited = new Map<string, Source>();
  let waiting: string[] = [];
  let count = 0;
  return {
    count: () => count,
    cite: (source) => {
      out.cite(citationOf(source));
      if (!cited.has(source.url)) cited.set(source.url, source);
    },
    add: (itemId, item) => {
      const query = queryOf(item);
      if (query === undefined) return;
      count += 1;
      const callId = `srvtoolu_${itemId.replace(/^ws_/, "") || count}`;
      out.openCall("server_tool_use", callId, "web_search");
      out.addInput(JSON.stringify({ query }));
      out.close();
      const sources = sourcesOf(item);
      if (sources === undefined) waiting.push(callId);
      else out.addWhole(resultBlock(callId, sources));
    },
    settle: () => {
      const last = waiting.at(-1);
      for (const callId of waiting) {
        out.addWhole(resultBlock(callId, callId === last ? [...cited.values()] : []));
      }
      waiting = [];
    },
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
