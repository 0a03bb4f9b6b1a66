import { describe, expect, test } from "bun:test";
import { pdfTokens, unknownDocumentTokens } from "../../src/tokens/document.ts";

const PAGE = pdfTokens("%PDF-1.4\n<< /Type /Page >>");

describe("pdfTokens", () => {
  test.each([
    ["each page, and not the list of pages", "/Type /Pages /Kids [] /Type /Page /Type/Page\n", 2],
    ["the pages that a linearized file promises", "<< /Linearized 1 /L 9 /N 12 /T 8 >>", 12],
    ["a page at least", "", 1],
    ["a page for some bytes where pages are compressed", "x".repeat(120_000), 3],
  ])("counts %s", (_name, content, pages) => {
    expect(pdfTokens(`%PDF-1.7\n${content}`)).toBe(pages * PAGE);
  });

  test("is within what Anthropic says of a page", () => {
    expect(PAGE).toBeWithin(1500, 3000);
    expect(unknownDocumentTokens()).toBeGreaterThan(PAGE);
  });
});
