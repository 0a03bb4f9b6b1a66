import { type Signal, signal } from "@preact/signals";
import { type Language, preferredLanguage } from "./texts.ts";

/** Which colours are shown. */
export type Theme = "auto" | "light" | "dark";

/** Where choices are kept from one visit to the next; a browser may refuse. */
export type Shelf = {
  readonly getItem: (name: string) => string | null;
  readonly setItem: (name: string, value: string) => void;
  readonly removeItem: (name: string) => void;
};

/** What the person at the page has chosen. */
export type Settings = {
  readonly language: Signal<Language>;
  readonly theme: Signal<Theme>;
  readonly key: Signal<string>;
  readonly setLanguage: (language: Language) => void;
  readonly setTheme: (theme: Theme) => void;
  /** Keeps the key for this tab; an empty one is forgotten. */
  readonly setKey: (key: string) => void;
};

const LANGUAGE = "codex-proxy.language";
const THEME = "codex-proxy.theme";
const KEY = "codex-proxy.key";

/** Reads what was chosen before. Only `tab`, which ends with the tab, ever holds the key. */
export function openSettings(lasting: Shelf, tab: Shelf, wishes: readonly string[]): Settings {
  const saved = read(lasting, LANGUAGE);
  const language = signal<Language>(
    saved === "en" || saved === "zh" ? saved : preferredLanguage(wishes),
  );
  const chosen = read(lasting, THEME);
  const theme = signal<Theme>(chosen === "light" || chosen === "dark" ? chosen : "auto");
  const key = signal(read(tab, KEY) ?? "");
  return {
    language,
    theme,
    key,
    setLanguage: (next) => {
      language.value = next;
      write(lasting, LANGUAGE, next);
    },
    setTheme: (next) => {
      theme.value = next;
      write(lasting, THEME, next === "auto" ? "" : next);
    },
    setKey: (next) => {
      key.value = next;
      write(tab, KEY, next);
    },
  };
}

function read(shelf: Shelf, name: string): string | null {
  try {
    return shelf.getItem(name);
  } catch {
    return null;
  }
}

/** What cannot be kept lasts as long as the page. */
function write(shelf: Shelf, name: string, value: string): void {
  try {
    if (value === "") shelf.removeItem(name);
    else shelf.setItem(name, value);
  } catch {
    // Storage is switched off in this browser, or full.
  }
}
