import { useEffect } from "preact/hooks";
import { AccountsPage } from "./accounts.tsx";
import { ChartsPage } from "./charts.tsx";
import { KeysPage } from "./keys.tsx";
import { Announcements } from "./parts.tsx";
import { RequestsPage } from "./requests.tsx";
import type { Theme } from "./settings.ts";
import { SignIn } from "./sign-in.tsx";
import { PAGES, page, session, settings, t } from "./state.tsx";

/** The whole page. */
export function App() {
  const language = settings.language.value;
  const theme = settings.theme.value;
  const shown = page.value;
  useEffect(() => {
    const root = document.documentElement;
    root.lang = language === "zh" ? "zh-CN" : "en";
    root.dataset["theme"] = theme;
  }, [language, theme]);
  const isOpen = session.phase.value === "open";
  useEffect(() => {
    document.title = isOpen ? `${t(shown)} · codex-proxy` : "codex-proxy";
  }, [shown, isOpen, language]);
  return (
    <>
      <header class="top">
        <a class="skip" href={`#/${shown}`} onClick={toContent}>
          {t("skip")}
        </a>
        <span class="brand">
          <img src="/dashboard/icon.svg" alt="" width="24" height="24" />
          codex-proxy
        </span>
        {isOpen && <Tabs />}
        <Switches isOpen={isOpen} />
      </header>
      <main id="content" tabIndex={-1}>
        <Content />
      </main>
      <Announcements />
    </>
  );
}

/** Moves there without another entry in the history. */
function toContent(event: MouseEvent): void {
  event.preventDefault();
  document.getElementById("content")?.focus();
}

function Content() {
  switch (session.phase.value) {
    case "checking":
      return <p class="placeholder">{t("loading")}</p>;
    case "locked":
      return <SignIn />;
    case "open":
      break;
  }
  switch (page.value) {
    case "accounts":
      return <AccountsPage />;
    case "requests":
      return <RequestsPage />;
    case "charts":
      return <ChartsPage />;
    case "keys":
      return <KeysPage />;
  }
}

function Tabs() {
  return (
    <nav class="tabs" aria-label={t("pages")}>
      {PAGES.map((name) => (
        <a key={name} href={`#/${name}`} aria-current={page.value === name ? "page" : undefined}>
          {t(name)}
        </a>
      ))}
    </nav>
  );
}

const THEMES = [
  ["auto", "themeAuto"],
  ["light", "themeLight"],
  ["dark", "themeDark"],
] as const;

function Switches({ isOpen }: { isOpen: boolean }) {
  const chosen = settings.theme.value;
  return (
    <div class="switches">
      <select
        aria-label={t("theme")}
        value={chosen}
        onChange={({ currentTarget }) => settings.setTheme(themeOf(currentTarget.value))}
      >
        {THEMES.map(([theme, words]) => (
          <option key={theme} value={theme}>
            {t(words)}
          </option>
        ))}
      </select>
      <select
        aria-label={t("language")}
        value={settings.language.value}
        onChange={({ currentTarget }) =>
          settings.setLanguage(currentTarget.value === "zh" ? "zh" : "en")
        }
      >
        <option value="en" lang="en">
          English
        </option>
        <option value="zh" lang="zh-CN">
          中文
        </option>
      </select>
      {isOpen && settings.key.value !== "" && (
        <button type="button" class="ghost" onClick={session.signOut}>
          {t("signOut")}
        </button>
      )}
    </div>
  );
}

function themeOf(value: string): Theme {
  return value === "light" || value === "dark" ? value : "auto";
}
