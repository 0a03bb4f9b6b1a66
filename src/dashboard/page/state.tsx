// The page's one set of parts, and what every component says and writes with.

import { computed, signal } from "@preact/signals";
import { WORDS } from "../../pool/words.ts";
import { createApi, type Refusal, type Reply } from "./api.ts";
import { createFormat } from "./format.ts";
import { createSession } from "./session.ts";
import { openSettings, type Shelf } from "./settings.ts";
import { fill, OBSTACLES_ZH, TEXTS, type TextKey } from "./texts.ts";

/** A storage that may be missing: some browsers throw at the mere mention. */
function shelfOf(find: () => Shelf): Shelf {
  return {
    getItem: (name) => find().getItem(name),
    setItem: (name, value) => find().setItem(name, value),
    removeItem: (name) => find().removeItem(name),
  };
}

export const settings = openSettings(
  shelfOf(() => localStorage),
  shelfOf(() => sessionStorage),
  navigator.languages,
);

export const session = createSession({
  api: createApi({
    fetch: (path, init) => fetch(path, init),
    key: () => settings.key.value,
  }),
  settings,
  after: (ms, fire) => void setTimeout(fire, ms),
});

/** Now, once a second; reading it has a component told of it. */
export const nowMs = signal(Date.now());
/** Now, every ten seconds, for what is told in minutes. */
export const roughNowMs = signal(Date.now());
setInterval(() => {
  nowMs.value = Date.now();
  if (nowMs.value - roughNowMs.value >= 10_000) roughNowMs.value = nowMs.value;
}, 1000);

const formats = computed(() => createFormat(settings.language.value));

/** How numbers and times are written just now. */
export function format() {
  return formats.value;
}

/** A text in the language that is chosen. */
export function t(key: TextKey, ...values: readonly (string | number)[]): string {
  return fill(TEXTS[settings.language.value][key], values);
}

const OBSTACLES: ReadonlyMap<string, string> = new Map(
  Object.entries(OBSTACLES_ZH).map(([kind, chinese]) => [Reflect.get(WORDS, kind), chinese]),
);

/** One of the proxy's phrases for why an account is not used, in the language that is chosen. */
export function obstacleWords(why: string): string {
  return settings.language.value === "zh" ? (OBSTACLES.get(why) ?? why) : why;
}

/** How far away a moment is, in words. */
export function distance(atMs: number, now = roughNowMs.value): string {
  const away = atMs - now;
  if (Math.abs(away) < 10_000) return t("justNow");
  return away > 0 ? t("inTime", format().span(away)) : t("ago", format().span(-away));
}

/** A refusal in the reader's language, as far as it is one that the page knows. */
export function wordsOf(refusal: Refusal): string {
  switch (refusal.code) {
    case "invalid_api_key":
      return t("keyWrong");
    case "local_only":
      return t("localOnly");
    case "foreign_origin":
    case "foreign_host":
      return t("foreignOrigin");
    case "too_many_wrong_keys":
      return t("keyBlocked", format().span((refusal.retryAfterSec ?? 60) * 1000));
    default:
      return refusal.message;
  }
}

/** Something that happened, told at the edge of the page for a while. */
export type Toast = { readonly id: number; readonly isGood: boolean; readonly words: string };

export const toasts = signal<readonly Toast[]>([]);
const TOAST_MS = 10_000;
const MOST_TOASTS = 4;
let toastCount = 0;

export function tell(words: string, isGood = true): void {
  toastCount += 1;
  const toast = { id: toastCount, isGood, words };
  toasts.value = [...toasts.value, toast].slice(-MOST_TOASTS);
  setTimeout(() => dismiss(toast.id), TOAST_MS);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** Tells what went wrong, unless the page shows it already. */
export function complain(reply: Reply): void {
  if (reply.ok || reply.kind === "offline" || session.phase.value !== "open") return;
  tell(t("failed", wordsOf(reply)), false);
}

/** The page that the address names. */
export const PAGES = ["accounts", "requests", "charts", "keys"] as const;
export type Page = (typeof PAGES)[number];

function pageOfAddress(): Page {
  const named = location.hash.replace(/^#\/?/, "");
  return PAGES.find((page) => page === named) ?? "accounts";
}

export const page = signal<Page>(pageOfAddress());
addEventListener("hashchange", () => {
  page.value = pageOfAddress();
});
