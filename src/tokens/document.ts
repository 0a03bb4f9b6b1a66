/**
 * About how many tokens a PDF costs a model, which is shown each page as text and as a picture. An estimate: only the
 * pages are counted, because their text is compressed. `pdf`: the file, one character per byte.
 */
export function pdfTokens(pdf: string): number {
  return countPages(pdf) * TOKENS_PER_PAGE;
}

/** About how many tokens a document costs of which nothing is known but that it is somewhere. */
export function unknownDocumentTokens(): number {
  return UNKNOWN_PAGES * TOKENS_PER_PAGE;
}

// OpenAI publishes no figure. Anthropic's guide to PDF says 1,500 to 3,000 per page.
const TOKENS_PER_PAGE = 2000;
const UNKNOWN_PAGES = 5;
// A page of text with its share of the fonts, where the objects of the pages are compressed themselves.
const BYTES_PER_PAGE = 40_000;

function countPages(pdf: string): number {
  // A file made for the web says the number at its beginning (ISO 32000, annex F).
  const promised = /\/Linearized[^>]{0,200}?\/N\s+(\d{1,6})/.exec(pdf.slice(0, 2048))?.[1];
  if (promised !== undefined) return Math.max(1, Number(promised));
  const pages = pdf.match(/\/Type\s{0,8}\/Page(?![A-Za-z])/g)?.length ?? 0;
  return pages > 0 ? pages : Math.max(1, Math.round(pdf.length / BYTES_PER_PAGE));
}
