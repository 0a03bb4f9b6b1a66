import { useEffect, useRef, useState } from "preact/hooks";
import { AccountLines } from "./account.tsx";
import { AddAccount, type Step } from "./add-account.tsx";
import { Confirm, Icon, Placeholder, usePolling } from "./parts.tsx";
import { readStats, STATES, type State, type StatsPage, type Summary } from "./shape.ts";
import { complain, format, session, t } from "./state.tsx";
import { begin, WorkPanel, work } from "./work.tsx";

const EVERY_MS = 5000;
const TYPING_MS = 250;
const SIZES = [25, 50, 100, 200];

type Wish = {
  readonly q: string;
  readonly state: State | undefined;
  readonly page: number;
  readonly size: number;
};

/** All accounts, a page at a time, and what can be done about them. */
export function AccountsPage() {
  const [wish, setWish] = useState<Wish>({ q: "", state: undefined, page: 1, size: 50 });
  const [stats, setStats] = useState<StatsPage>();
  const [adding, setAdding] = useState<Step>();
  const [changes, setChanges] = useState(0);
  const reload = (): void => setChanges((before) => before + 1);

  usePolling(
    async (signal) => {
      const reply = await session.call({ path: pathOf(wish), signal });
      if (signal.aborted) return;
      if (!reply.ok) return complain(reply);
      const next = readStats(reply.body);
      setStats(next);
      // The last accounts of the last page may be gone.
      if (wish.page > next.pages && next.pages > 0) setWish({ ...wish, page: next.pages });
    },
    EVERY_MS,
    [wish, changes],
  );
  const isDropping = useDrop((files) => setAdding({ kind: "import", files }));

  return (
    <>
      <h1 class="hidden">{t("accounts")}</h1>
      <Tiles summary={stats?.summary} />
      <Toolbar
        wish={wish}
        summary={stats?.summary}
        onWish={setWish}
        onAdd={() => setAdding({ kind: "choice" })}
        onDone={reload}
      />
      <WorkPanel />
      {stats === undefined ? (
        <Placeholder words={t("loading")} />
      ) : (
        <Listing
          stats={stats}
          isFiltered={wish.q !== "" || wish.state !== undefined}
          onChange={reload}
        />
      )}
      {stats !== undefined && stats.total > 0 && (
        <Pager stats={stats} wish={wish} onWish={setWish} />
      )}
      {adding !== undefined && (
        <AddAccount first={adding} onClose={() => setAdding(undefined)} onChange={reload} />
      )}
      {isDropping && <p class="dropping">{t("dropHere")}</p>}
    </>
  );
}

function pathOf({ q, state, page, size }: Wish): string {
  const query = new URLSearchParams({ page: String(page), page_size: String(size) });
  if (q !== "") query.set("q", q);
  if (state !== undefined) query.set("state", state);
  return `/stats?${query}`;
}

function Tiles({ summary }: { summary: Summary | undefined }) {
  const { count, short, share, span } = format();
  const tokens = summary?.tokens;
  const tile = (name: string, value: string | undefined, more: string | undefined) => (
    <div class="tile">
      <dt>{name}</dt>
      <dd>
        <strong>{value ?? "–"}</strong> <span>{more ?? " "}</span>
      </dd>
    </div>
  );
  const cached = tokens && tokens.input > 0 ? share(tokens.cached / tokens.input) : undefined;
  return (
    <dl class="tiles">
      {tile(
        t("ready"),
        summary && count(summary.states.ready),
        summary && t("ofAccounts", count(summary.total)),
      )}
      {tile(
        t("requests"),
        summary && short(summary.requests),
        summary && t("perMinute", count(summary.perMinute)),
      )}
      {tile(t("errors"), summary && short(summary.errors), summary && errorShare(summary))}
      {tile(
        t("tokensIn"),
        tokens && short(tokens.input),
        cached === undefined ? undefined : t("cachedShare", cached),
      )}
      {tile(
        t("tokensOut"),
        tokens && short(tokens.output),
        tokens && t("reasoningShare", short(tokens.reasoning)),
      )}
      {tile(
        t("waiting"),
        summary && count(summary.waiting),
        summary && t("connectionsInUse", count(summary.connections)),
      )}
      {tile(t("running"), summary && span(summary.uptimeMs), t("sinceStart"))}
    </dl>
  );
}

function errorShare({ requests, errors }: Summary): string {
  return requests === 0 ? "" : format().share(errors / requests);
}

function Toolbar({
  wish,
  summary,
  onWish,
  onAdd,
  onDone,
}: {
  wish: Wish;
  summary: Summary | undefined;
  onWish: (wish: Wish) => void;
  onAdd: () => void;
  onDone: () => void;
}) {
  const [isAsking, setIsAsking] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const type = (q: string): void => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onWish({ ...wish, q, page: 1 }), TYPING_MS);
  };
  const isBusy = work.value?.isRunning === true;
  const all = (path: string, title: "refresh" | "checkQuota" | "recover"): void => {
    void begin({ path, title, body: { all: true }, onDone });
  };
  const chip = (state: State | undefined, words: string, amount: number | undefined) => (
    <button
      key={words}
      type="button"
      class="chip"
      aria-pressed={wish.state === state}
      onClick={() => onWish({ ...wish, state, page: 1 })}
    >
      {words} <span class="amount">{amount === undefined ? "" : format().count(amount)}</span>
    </button>
  );
  return (
    <div class="toolbar">
      <input
        type="search"
        aria-label={t("search")}
        placeholder={t("searchHint")}
        onInput={({ currentTarget }) => type(currentTarget.value.trim())}
      />
      <fieldset class="chips">
        <legend class="hidden">{t("state")}</legend>
        {chip(undefined, t("all"), summary?.total)}
        {STATES.map((state) => chip(state, t(state), summary?.states[state]))}
      </fieldset>
      <div class="row end">
        <button type="button" disabled={isBusy} onClick={() => all("/refresh", "refresh")}>
          {t("refresh")}
        </button>
        <button type="button" disabled={isBusy} onClick={() => all("/check-quota", "checkQuota")}>
          {t("checkQuota")}
        </button>
        <button type="button" disabled={isBusy} onClick={() => setIsAsking(true)}>
          {t("recover")}
        </button>
        <button type="button" class="primary" onClick={onAdd}>
          <Icon name="plus" /> {t("add")}
        </button>
      </div>
      {isAsking && (
        <Confirm
          title={t("recoverTitle")}
          words={t("recoverText")}
          action={t("recover")}
          onNo={() => setIsAsking(false)}
          onYes={() => {
            setIsAsking(false);
            all("/recover-auth", "recover");
          }}
        />
      )}
    </div>
  );
}

function Listing({
  stats,
  isFiltered,
  onChange,
}: {
  stats: StatsPage;
  isFiltered: boolean;
  onChange: () => void;
}) {
  if (stats.accounts.length === 0) {
    return <Placeholder words={t(isFiltered ? "noMatch" : "noAccounts")} />;
  }
  return (
    <table class="listing accounts">
      <caption class="hidden">{t("accounts")}</caption>
      <thead>
        <tr>
          <th scope="col">{t("account")}</th>
          <th scope="col">{t("state")}</th>
          <th scope="col">{t("quota")}</th>
          <th scope="col" class="number">
            {t("cached")}
          </th>
          <th scope="col" class="number">
            {t("requests")}
          </th>
          <th scope="col" class="number">
            {t("errors")}
          </th>
          <th scope="col" class="number">
            {t("inFlight")}
          </th>
          <th scope="col">{t("lastUsed")}</th>
          <th scope="col">{t("tokenEnds")}</th>
          <th scope="col">
            <span class="hidden">{t("reason")}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {stats.accounts.map((row) => (
          <AccountLines key={row.id} row={row} onChange={onChange} />
        ))}
      </tbody>
    </table>
  );
}

function Pager({
  stats,
  wish,
  onWish,
}: {
  stats: StatsPage;
  wish: Wish;
  onWish: (wish: Wish) => void;
}) {
  const { count } = format();
  const first = (stats.page - 1) * wish.size + 1;
  const last = first + stats.accounts.length - 1;
  return (
    <div class="pager">
      <label>
        {t("pageSize")}{" "}
        <select
          value={String(wish.size)}
          onChange={({ currentTarget }) =>
            onWish({ ...wish, size: Number(currentTarget.value), page: 1 })
          }
        >
          {SIZES.map((size) => (
            <option key={size} value={String(size)}>
              {size}
            </option>
          ))}
        </select>
      </label>
      <span class="figures" aria-live="polite">
        {t("page", count(first), count(last), count(stats.total))}
      </span>
      <button
        type="button"
        class="icon"
        aria-label={t("previous")}
        disabled={stats.page <= 1}
        onClick={() => onWish({ ...wish, page: stats.page - 1 })}
      >
        <Icon name="left" />
      </button>
      <button
        type="button"
        class="icon"
        aria-label={t("next")}
        disabled={stats.page >= stats.pages}
        onClick={() => onWish({ ...wish, page: stats.page + 1 })}
      >
        <Icon name="right" />
      </button>
    </div>
  );
}

/** Takes files that are dropped anywhere on the page; tells whether some are held over it. */
function useDrop(onFiles: (files: readonly File[]) => void): boolean {
  const [isOver, setIsOver] = useState(false);
  const take = useRef(onFiles);
  take.current = onFiles;
  useEffect(() => {
    const hasFiles = (event: DragEvent): boolean =>
      event.dataTransfer?.types.includes("Files") === true;
    const over = (event: DragEvent): void => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setIsOver(true);
    };
    const leave = (event: DragEvent): void => {
      if (event.relatedTarget === null) setIsOver(false);
    };
    const drop = (event: DragEvent): void => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setIsOver(false);
      take.current([...(event.dataTransfer?.files ?? [])]);
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, []);
  return isOver;
}
