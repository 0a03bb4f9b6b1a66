import { signal } from "@preact/signals";
import { type Dict, number, text } from "../../wire/json.ts";
import { Icon } from "./parts.tsx";
import { word } from "./shape.ts";
import { complain, format, session, t } from "./state.tsx";
import type { TextKey } from "./texts.ts";

/** What became of one account in a work. */
export type WorkItem = {
  readonly who: string;
  readonly outcome: string;
  readonly reason: string | undefined;
};

/** Long work on accounts, as far as it has come. */
export type Work = {
  readonly title: TextKey;
  readonly total: number;
  readonly done: number;
  readonly counts: ReadonlyMap<string, number>;
  /** The last ones. */
  readonly items: readonly WorkItem[];
  readonly isRunning: boolean;
  readonly isBroken: boolean;
  readonly stop: () => void;
};

/** The work that runs, or ran last and has not been put away. */
export const work = signal<Work | undefined>(undefined);

const MOST_SHOWN = 100;

const OUTCOMES: ReadonlyMap<string, TextKey> = new Map([
  ["renewed", "outcomeRenewed"],
  ["adopted", "outcomeAdopted"],
  ["skipped", "outcomeSkipped"],
  ["failed", "outcomeFailed"],
  ["recovered", "outcomeRecovered"],
  ["set-aside", "outcomeSetAside"],
  ["unchanged", "outcomeUnchanged"],
  ["measured", "outcomeMeasured"],
  ["added", "outcomeAdded"],
  ["updated", "outcomeUpdated"],
]);

/** What became of an account, in words. */
export function outcomeWords(outcome: string): string {
  const key = OUTCOMES.get(outcome);
  return key === undefined ? outcome : t(key);
}

/** Has the proxy do long work, and shows how far it has come. One work at a time. */
export async function begin({
  path,
  title,
  body,
  onDone,
}: {
  path: string;
  title: TextKey;
  body: Dict;
  onDone: () => void;
}): Promise<void> {
  const leaving = new AbortController();
  let current: Work = {
    title,
    total: 0,
    done: 0,
    counts: new Map(),
    items: [],
    isRunning: true,
    isBroken: false,
    stop: () => leaving.abort(),
  };
  let isWhole = false;
  const show = (change: Partial<Work>): void => {
    current = { ...current, ...change };
    work.value = current;
  };
  show({});
  const onEvent = (name: string, data: Dict): void => {
    if (name === "start") show({ total: number(data["total"]) ?? 0 });
    if (name === "item") show(withItem(current, data));
    if (name === "done") isWhole = true;
  };
  const call = {
    method: "POST",
    path,
    body: JSON.stringify(body),
    signal: leaving.signal,
  } as const;
  const reply = await session.stream(call, onEvent);
  if (reply.ok || leaving.signal.aborted) show({ isRunning: false, isBroken: !isWhole });
  else if (reply.kind === "offline") show({ isRunning: false, isBroken: true });
  else {
    work.value = undefined;
    complain(reply);
  }
  onDone();
}

function withItem({ done, counts, items }: Work, data: Dict): Partial<Work> {
  const outcome = word(data["outcome"]);
  const item = { who: word(data["account"]), outcome, reason: text(data["reason"]) };
  return {
    done: done + 1,
    counts: new Map(counts).set(outcome, (counts.get(outcome) ?? 0) + 1),
    items: [item, ...items].slice(0, MOST_SHOWN),
  };
}

/** The work that runs or ran last; nothing where there is none. */
export function WorkPanel() {
  const shown = work.value;
  if (shown === undefined) return null;
  const { title, total, done, counts, items, isRunning, isBroken, stop } = shown;
  const { count } = format();
  const head = isRunning
    ? t("working", t(title), count(done), count(total))
    : t(isBroken ? "workBroken" : "workDone", t(title));
  return (
    <section class="card work" aria-label={t(title)}>
      <div class="row">
        <strong role="status">{head}</strong>
        <span class="quiet">
          {[...counts]
            .map(([outcome, times]) => `${count(times)} ${outcomeWords(outcome)}`)
            .join(", ")}
        </span>
        {isRunning ? (
          <button type="button" class="push" onClick={stop}>
            {t("stop")}
          </button>
        ) : (
          <button
            type="button"
            class="icon push"
            aria-label={t("close")}
            onClick={() => {
              work.value = undefined;
            }}
          >
            <Icon name="close" />
          </button>
        )}
      </div>
      {isRunning && <progress aria-label={t(title)} value={done} max={Math.max(total, 1)} />}
      <Outcomes items={items} more={done - items.length} />
    </section>
  );
}

/** What became of each account, a line each. */
export function Outcomes({ items, more }: { items: readonly WorkItem[]; more: number }) {
  if (items.length === 0) return null;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, which must be possible with the keyboard
    <ul class="outcomes" tabIndex={0}>
      {items.map(({ who, outcome, reason }, at) => (
        <li key={at}>
          <span class="label">{who}</span>
          <span class={outcome === "failed" ? "bad" : ""}>{outcomeWords(outcome)}</span>
          {reason !== undefined && <span class="quiet">{reason}</span>}
        </li>
      ))}
      {more > 0 && <li class="quiet">{t("moreItems", format().count(more))}</li>}
    </ul>
  );
}
