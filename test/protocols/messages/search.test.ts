import { describe, expect, test } from "bun:test";
import {
  citedBy,
  describeResults,
  queryOf,
  resultBlock,
  sourcesOf,
} from "../../../src/protocols/messages/search.ts";
import type { Dict } from "../../../src/wire/json.ts";

describe("a search of the backend's", () => {
  const rows: [action: unknown, query: string | undefined][] = [
    [{ type: "search", query: "bun" }, "bun"],
    [{ type: "search", queries: ["bun", "deno"] }, "bun, deno"],
    [undefined, ""],
    [{ type: "open_page", url: "https://example.com" }, undefined],
    [{ type: "find_in_page", url: "https://example.com", pattern: "x" }, undefined],
  ];
  test.each(rows)("with the action %j asked for %p", (action, query) => {
    expect(queryOf({ type: "web_search_call", action })).toBe(query);
  });

  test("names its pages, or does not say", () => {
    const page = { type: "url", url: "https://example.com" };
    const item = (sources: unknown): Dict => ({ action: { type: "search", sources } });
    expect(sourcesOf(item([page, { type: "api" }]))).toEqual([
      { url: "https://example.com", title: "https://example.com" },
    ]);
    expect(sourcesOf(item([]))).toEqual([]);
    expect(sourcesOf(item(undefined))).toBeUndefined();
  });

  test("is cited by its URL; other remarks are no citations", () => {
    const url = "https://example.com";
    expect(citedBy({ type: "url_citation", url, title: "T" })).toEqual({ url, title: "T" });
    expect(citedBy({ type: "file_citation", file_id: "f" })).toBeUndefined();
    expect(citedBy({ type: "url_citation" })).toBeUndefined();
  });
});

describe("a search in a history", () => {
  test("is told in words", () => {
    const { content } = resultBlock("srvtoolu_1", [{ url: "https://example.com", title: "T" }]);
    expect(describeResults(content)).toBe("Found on the web:\n- T (https://example.com)");
    expect(describeResults([])).toBe("The web search found no pages.");
    expect(describeResults({ error_code: "unavailable" })).toBe(
      "The web search failed: unavailable.",
    );
  });
});
