import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { dict, list } from "../../src/wire/json.ts";
import { plainEnvironment } from "./proxy.ts";

/** Where this machine has Chromium; null where it has none. */
export const CHROMIUM =
  Bun.which("chromium") ?? Bun.which("chromium-browser") ?? Bun.which("google-chrome");

/** Starts it without a window, and without what it would do on its own. */
export function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM ?? "chromium",
    env: plainEnvironment(),
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A page in a profile of its own, and what must not happen in it. */
export type Visit = AsyncDisposable & {
  readonly page: Page;
  /** Errors of its scripts, and what its content policy has refused. */
  readonly faults: readonly string[];
  /** The addresses of all that it has asked for. */
  readonly requests: readonly string[];
};

/** Opens `url` as somebody who has never been there. */
export async function visit(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<Visit> {
  const context = await browser.newContext({
    locale: "en-GB",
    viewport: { width: 1280, height: 800 },
    ...options,
  });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  const faults: string[] = [];
  const requests: string[] = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    // That the proxy refuses something, or is away, is what some tests are about.
    const isAnswer = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isAnswer) faults.push(message.text());
  });
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(url);
  return { page, faults, requests, [Symbol.asyncDispose]: () => context.close() };
}

/** What axe finds wrong with the page as it stands, a line each. */
export async function findBarriers(page: Page): Promise<readonly string[]> {
  // Evaluated as an inspector does it: the page's own policy would let no such script in.
  await page.evaluate(`${axe.source}; undefined`);
  const found: unknown = await page.evaluate("axe.run(document)");
  return list(dict(found)["violations"])
    .map(dict)
    .flatMap(({ id, nodes }) =>
      list(nodes).map((node) => `${String(id)}: ${String(dict(node)["html"])}`),
    );
}

/** By how many pixels the page is wider than the window. */
export async function overhang(page: Page): Promise<number> {
  const width: unknown = await page.evaluate(
    "document.documentElement.scrollWidth - document.documentElement.clientWidth",
  );
  return Number(width);
}
