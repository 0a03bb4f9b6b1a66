import { useMemo, useState } from "preact/hooks";
import { Chart, type Plotted } from "./chart.tsx";
import { Placeholder, usePolling } from "./parts.tsx";
import {
  CLASSES,
  type Columns,
  columnsOf,
  failuresOf,
  type Line,
  largestOf,
  stacked,
  sumOf,
} from "./series.ts";
import { type HistoryView, type Quantiles, readHistory } from "./shape.ts";
import { complain, format, session, t } from "./state.tsx";
import type { TextKey } from "./texts.ts";

const EVERY_MS = 10_000;
const HOUR_MS = 3_600_000;
const SPANS = [1, 3, 6];

/** What happened in the last hours. */
export function ChartsPage() {
  const [history, setHistory] = useState<HistoryView>();
  const [hours, setHours] = useState(1);
  usePolling(
    async (signal) => {
      const reply = await session.call({ path: "/admin/history", signal });
      if (signal.aborted) return;
      if (reply.ok) setHistory(readHistory(reply.body));
      else complain(reply);
    },
    EVERY_MS,
    [],
  );
  const columns = useMemo(() => history && columnsOf(history, hours * HOUR_MS), [history, hours]);
  return (
    <>
      <h1 class="hidden">{t("charts")}</h1>
      <div class="toolbar">
        <fieldset class="chips">
          <legend class="hidden">{t("span")}</legend>
          {SPANS.map((span) => (
            <button
              key={span}
              type="button"
              class="chip"
              aria-pressed={span === hours}
              onClick={() => setHours(span)}
            >
              {t("lastHours", span)}
            </button>
          ))}
        </fieldset>
      </div>
      {columns === undefined ? <Placeholder words={t("loading")} /> : <Charts columns={columns} />}
    </>
  );
}

function Charts({ columns }: { columns: Columns }) {
  return (
    <div class="charts">
      <Requests columns={columns} />
      <Failures columns={columns} />
      <Tokens columns={columns} />
      <Times columns={columns} title="ttft" pick="ttft" />
      <Times columns={columns} title="latency" pick="duration" />
    </div>
  );
}

/** Lines that are drawn on top of each other, the first one lowest; each is told with its own value. */
function stack(parts: readonly (readonly [name: string, colour: string, line: Line])[]): Plotted[] {
  const sums = stacked(parts.map(([, , line]) => line));
  const plotted = parts.map(([name, colour, line], at) => ({
    name,
    colour,
    line,
    drawn: sums[at] ?? line,
    isFilled: true,
  }));
  // The topmost is drawn first, so that those below it cover its lower part.
  return plotted.reverse();
}

function Requests({ columns }: { columns: Columns }) {
  const answered = columns.line(({ requests, errors }) => requests - errors, 0);
  const errors = columns.line((minute) => minute.errors, 0);
  return (
    <Chart
      title={t("requestsPerMinute")}
      seconds={columns.seconds}
      plotted={stack([
        [t("errors"), "red", errors],
        [t("answered"), "teal", answered],
      ])}
      write={format().short}
      isWhole
      fold={sumOf}
      foldName={t("total")}
    />
  );
}

const CLASS_COLOURS = ["amber", "violet", "red", "blue", "pink", "grey", "teal"];

function Failures({ columns }: { columns: Columns }) {
  const parts = CLASSES.map(
    ([kind, name], at) =>
      [
        t(name),
        CLASS_COLOURS[at] ?? "grey",
        columns.line((minute) => failuresOf(minute, kind), 0),
      ] as const,
  );
  const seen = parts.filter(([, , line]) => sumOf(line) > 0);
  return (
    <Chart
      // Another set of lines is another chart.
      key={seen.map(([name]) => name).join()}
      title={t("failuresPerMinute")}
      seconds={columns.seconds}
      plotted={stack(seen)}
      write={format().short}
      isWhole
      fold={sumOf}
      foldName={t("total")}
    />
  );
}

function Tokens({ columns }: { columns: Columns }) {
  return (
    <Chart
      title={t("tokensPerMinute")}
      seconds={columns.seconds}
      plotted={stack([
        [t("outputTokens"), "amber", columns.line(({ tokens }) => tokens.output, 0)],
        [
          t("inputUncached"),
          "blue",
          columns.line(({ tokens }) => Math.max(tokens.input - tokens.cached, 0), 0),
        ],
        [t("inputCached"), "teal", columns.line(({ tokens }) => tokens.cached, 0)],
      ])}
      write={format().short}
      isWhole
      fold={sumOf}
      foldName={t("total")}
    />
  );
}

function Times({
  columns,
  title,
  pick,
}: {
  columns: Columns;
  title: TextKey;
  pick: "ttft" | "duration";
}) {
  const line = (name: keyof Quantiles): Line => columns.line((minute) => minute[pick][name], null);
  const plot = (name: string, colour: string, values: Line): Plotted => ({
    name,
    colour,
    line: values,
    drawn: values,
    isFilled: false,
  });
  return (
    <Chart
      title={t(title)}
      seconds={columns.seconds}
      plotted={[plot(t("p95"), "amber", line("p95")), plot(t("median"), "teal", line("p50"))]}
      write={format().measured}
      isWhole={false}
      fold={(values) => largestOf(values)}
      foldName={t("max")}
    />
  );
}
