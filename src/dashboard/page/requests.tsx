import { useEffect, useRef, useState } from "preact/hooks";
import { type Dict, dict, list } from "../../wire/json.ts";
import { Decision } from "./decision.tsx";
import { Cell, Opener, Placeholder } from "./parts.tsx";
import { type RequestRow, readRequest } from "./shape.ts";
import { complain, format, session, t } from "./state.tsx";

const MOST_ROWS = 300;
const AGAIN_MS = 2000;

/** Requests as they end, the newest first. */
export function RequestsPage() {
  const [query, setQuery] = useState("");
  const [onlyFailures, setOnlyFailures] = useState(false);
  const { rows, isLive, held, isPaused, pause } = useLive();
  const { count } = format();
  const isFiltered = query !== "" || onlyFailures;
  const shown = rows?.filter((row) => (!onlyFailures || isFailure(row)) && isNamed(row, query));
  return (
    <>
      <h1 class="hidden">{t("requests")}</h1>
      <div class="toolbar">
        <input
          type="search"
          aria-label={t("search")}
          placeholder={t("filterHint")}
          onInput={({ currentTarget }) => setQuery(currentTarget.value.trim().toLowerCase())}
        />
        <label class="check">
          <input
            type="checkbox"
            checked={onlyFailures}
            onChange={({ currentTarget }) => setOnlyFailures(currentTarget.checked)}
          />
          {t("onlyFailures")}
        </label>
        <div class="row end">
          <span class={isLive && !isPaused ? "badge ready" : "badge unknown"} role="status">
            {isPaused ? t("pausedCount", count(held)) : t(isLive ? "live" : "connecting")}
          </span>
          <button type="button" aria-pressed={isPaused} onClick={pause}>
            {t(isPaused ? "resume" : "pause")}
          </button>
        </div>
      </div>
      {shown === undefined && <Placeholder words={t("connecting")} />}
      {shown?.length === 0 && (
        <Placeholder words={t(isFiltered ? "noRequestMatch" : "noRequests")} />
      )}
      {shown !== undefined && shown.length > 0 && <Listing rows={shown} />}
    </>
  );
}

/** Whether a request did not end as its client wished. */
function isFailure({ failure, status }: RequestRow): boolean {
  return failure !== undefined || status >= 400;
}

function isNamed(row: RequestRow, query: string): boolean {
  const { id, model, askedModel, account = "", client } = row;
  return [id, model, askedModel, account, client].some((name) =>
    name.toLowerCase().includes(query),
  );
}

/** The live list: kept up to date, or held still while it is paused. */
function useLive() {
  const [rows, setRows] = useState<readonly RequestRow[]>();
  const [isLive, setIsLive] = useState(false);
  const [isPaused, setIsPaused] = useState(false);
  const [held, setHeld] = useState<readonly RequestRow[]>([]);
  const paused = useRef(false);
  const [tries, setTries] = useState(0);
  const round = session.round.value;
  const isOffline = session.isOffline.value;

  // `tries` and `round` say when to connect anew.
  useEffect(() => {
    if (isOffline) return;
    const leaving = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const onEvent = (name: string, data: Dict): void => {
      if (name === "recent") {
        setIsLive(true);
        const recent = list(data["requests"]).map(dict).map(readRequest).reverse();
        // Those that were held still are among them.
        if (!paused.current) setRows(recent);
      }
      if (name !== "request") return;
      const row = readRequest(dict(data["request"]));
      const withRow = (before: readonly RequestRow[] = []) => [row, ...before].slice(0, MOST_ROWS);
      if (paused.current) setHeld(withRow);
      else setRows(withRow);
    };
    void (async () => {
      const call = { path: "/admin/requests", signal: leaving.signal };
      const reply = await session.stream(call, onEvent);
      if (leaving.signal.aborted) return;
      setIsLive(false);
      complain(reply);
      timer = setTimeout(() => setTries((before) => before + 1), AGAIN_MS);
    })();
    return () => {
      leaving.abort();
      clearTimeout(timer);
      setIsLive(false);
    };
  }, [round, isOffline, tries]);

  const pause = (): void => {
    paused.current = !paused.current;
    setIsPaused(paused.current);
    if (paused.current) return;
    setRows((before = []) => [...held, ...before].slice(0, MOST_ROWS));
    setHeld([]);
  };
  return { rows, isLive, held: held.length, isPaused, pause };
}

function Listing({ rows }: { rows: readonly RequestRow[] }) {
  return (
    <table class="listing requests">
      <caption class="hidden">{t("requests")}</caption>
      <thead>
        <tr>
          <th scope="col">{t("time")}</th>
          <th scope="col">{t("status")}</th>
          <th scope="col">{t("model")}</th>
          <th scope="col">{t("account")}</th>
          <th scope="col">{t("client")}</th>
          <th scope="col" class="number">
            {t("attempts")}
          </th>
          <th scope="col" class="number">
            {t("firstToken")}
          </th>
          <th scope="col" class="number">
            {t("duration")}
          </th>
          <th scope="col" class="number">
            {t("input")}
          </th>
          <th scope="col" class="number">
            {t("cached")}
          </th>
          <th scope="col" class="number">
            {t("output")}
          </th>
          <th scope="col">
            <span class="hidden">{t("reason")}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <RequestLines key={row.id} row={row} />
        ))}
      </tbody>
    </table>
  );
}

function RequestLines({ row }: { row: RequestRow }) {
  const [isOpen, setIsOpen] = useState(false);
  const { clock, count, short, measured, moment, share } = format();
  const { tokens, endedMs, model, askedModel, effort } = row;
  const details = `decision-${row.id}`;
  return (
    <>
      <tr class={isOpen ? "opened" : ""}>
        <Cell label={t("time")} kind="time">
          <span title={endedMs === undefined ? "" : moment(endedMs)}>
            {endedMs === undefined ? "" : clock(endedMs)}
          </span>
        </Cell>
        <Cell label={t("status")} kind="status">
          <span class={`code status-${levelOf(row)}`}>{row.status}</span>
          {row.failure !== undefined && <span class="note">{row.failure}</span>}
        </Cell>
        <Cell label={t("model")} kind="name">
          <span class="label">{model === "" ? "–" : model}</span>
          <span class="quiet">{asWished(askedModel, model, effort)}</span>
        </Cell>
        <Cell label={t("account")} kind="name">
          <span class="label">{row.account ?? "–"}</span>
        </Cell>
        <Cell label={t("client")} kind="name">
          <span class="label">{row.client}</span>
          <span class="quiet">{row.protocol}</span>
        </Cell>
        <Cell label={t("attempts")} kind="number">
          {count(row.attempts)}
        </Cell>
        <Cell label={t("firstToken")} kind="number">
          {row.ttftMs === undefined ? "–" : measured(row.ttftMs)}
        </Cell>
        <Cell label={t("duration")} kind="number">
          {measured(row.durationMs)}
        </Cell>
        <Cell label={t("input")} kind="number">
          {tokens === undefined ? "–" : short(tokens.input)}
        </Cell>
        <Cell label={t("cached")} kind="number">
          {tokens === undefined || tokens.input === 0 ? "–" : share(tokens.cached / tokens.input)}
        </Cell>
        <Cell label={t("output")} kind="number">
          {tokens === undefined ? "–" : short(tokens.output)}
        </Cell>
        <Opener
          isOpen={isOpen}
          details={details}
          label={t("decisionOf", row.id)}
          onToggle={() => setIsOpen(!isOpen)}
        />
      </tr>
      {isOpen && (
        <tr id={details} class="details">
          <td colSpan={12}>
            <Decision id={row.id} />
          </td>
        </tr>
      )}
    </>
  );
}

/** What of the wish the model's name does not say. */
function asWished(asked: string, model: string, effort: string | undefined): string {
  return [asked === model ? "" : `← ${asked}`, effort ?? ""]
    .filter((part) => part !== "")
    .join(" ");
}

function levelOf(row: RequestRow): "good" | "warn" | "bad" {
  if (!isFailure(row)) return "good";
  return row.status >= 500 || row.status === 200 ? "bad" : "warn";
}
