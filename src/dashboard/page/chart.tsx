import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import type { Line } from "./series.ts";
import { format, settings, t } from "./state.tsx";

/** One line of a chart. */
export type Plotted = {
  readonly name: string;
  /** The name of a colour of the style sheet. */
  readonly colour: string;
  /** What it says. */
  readonly line: Line;
  /** Where it is drawn, which differs where lines are stacked. */
  readonly drawn: Line;
  readonly isFilled: boolean;
};

type ChartProps = {
  readonly title: string;
  readonly seconds: readonly number[];
  /** In the order in which they are drawn; the legend has the last one first. */
  readonly plotted: readonly Plotted[];
  readonly write: (value: number) => string;
  /** Things are counted: half ones would make no sense on the scale. */
  readonly isWhole: boolean;
  /** What of a whole line the legend says while nobody points at a moment. */
  readonly fold: (line: Line) => number | undefined;
  readonly foldName: string;
};

const HEIGHT = 190;

/** A chart with its legend, and the same as a table for who does not see it. */
export function Chart({ title, seconds, plotted, write, isWhole, fold, foldName }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState<number>();
  const shown = useMemo(() => plotted.filter(({ line }) => line.some((value) => value)), [plotted]);
  useChart(place, { seconds, plotted, write, isWhole, onCursor: setAt });
  const isEmpty = shown.length === 0;
  const legend = [...plotted].reverse();
  const moment = at === undefined ? undefined : seconds[at];
  return (
    <figure class="card chart">
      <figcaption>
        <h2>{title}</h2>
        <span class="quiet figures">
          {moment === undefined ? foldName : format().minute(moment * 1000)}
        </span>
      </figcaption>
      <ul class="legend">
        {legend.map(({ name, colour, line }) => {
          const value = at === undefined ? fold(line) : (line[at] ?? undefined);
          return (
            <li key={name}>
              <i class={`swatch ${colour}`} />
              {name} <b class="figures">{value === undefined ? "–" : write(value)}</b>
            </li>
          );
        })}
      </ul>
      <div class="plot">
        <div ref={place} aria-hidden="true" />
        {isEmpty && <p class="empty">{t("noData")}</p>}
      </div>
      <Values title={title} seconds={seconds} plotted={legend} write={write} />
    </figure>
  );
}

type Drawing = Pick<ChartProps, "seconds" | "plotted" | "write" | "isWhole"> & {
  readonly onCursor: (at: number | undefined) => void;
};

/** Draws into `place`, anew when colours, language or lines change, and otherwise only the new values. */
function useChart(
  place: { readonly current: HTMLDivElement | null },
  { seconds, plotted, write, isWhole, onCursor }: Drawing,
): void {
  const chart = useRef<uPlot | undefined>(undefined);
  const theme = settings.theme.value;
  const language = settings.language.value;
  const [isDark, setIsDark] = useState(DARK.matches);
  useEffect(() => {
    const look = (): void => setIsDark(DARK.matches);
    DARK.addEventListener("change", look);
    return () => DARK.removeEventListener("change", look);
  }, []);
  const data = useMemo<uPlot.AlignedData>(
    () => [[...seconds], ...plotted.map(({ drawn }) => [...drawn])],
    [seconds, plotted],
  );
  const latest = useRef({ plotted, write, onCursor, data });
  latest.current = { plotted, write, onCursor, data };

  // These are what the colours and the words depend on.
  useEffect(() => {
    const box = place.current;
    if (box === null) return;
    const { plotted: lines, data: values } = latest.current;
    const drawn = new uPlot(
      optionsOf(box, lines, {
        isWhole,
        write: (value) => latest.current.write(value),
        onCursor: (at) => latest.current.onCursor(at),
      }),
      values,
      box,
    );
    chart.current = drawn;
    const watch = new ResizeObserver(() =>
      drawn.setSize({ width: box.clientWidth, height: HEIGHT }),
    );
    watch.observe(box);
    return () => {
      watch.disconnect();
      drawn.destroy();
      chart.current = undefined;
    };
  }, [theme, isDark, language]);
  useEffect(() => chart.current?.setData(data), [data]);
}

const DARK = matchMedia("(prefers-color-scheme: dark)");

/** A colour of the style sheet, as the canvas needs it. */
function colourOf(box: Element, name: string): string {
  return getComputedStyle(box).getPropertyValue(`--${name}`).trim();
}

function optionsOf(
  box: HTMLElement,
  plotted: readonly Plotted[],
  { write, isWhole, onCursor }: Pick<Drawing, "write" | "isWhole" | "onCursor">,
): uPlot.Options {
  const text = colourOf(box, "chart-text");
  const grid = colourOf(box, "chart-grid");
  const font = `12px ${getComputedStyle(box).fontFamily}`;
  const axis: uPlot.Axis = {
    stroke: text,
    font,
    grid: { stroke: grid, width: 1 },
    ticks: { show: false },
  };
  return {
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: {
      y: false,
      drag: { x: false, y: false },
      points: { show: false },
      sync: { key: "time" },
    },
    scales: {
      // The first and the last step are shown whole.
      x: { range: (_chart, first, last) => [first - STEP_S / 2, last + STEP_S / 2] },
      y: { range: (_chart, _least, most) => [0, most > 0 ? most * 1.05 : 1] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        gap: 4,
        space: 60,
        values: (_chart, ticks) => ticks.map((tick) => format().minute(tick * 1000)),
      },
      {
        ...axis,
        size: 64,
        space: 32,
        ...(isWhole ? { incrs: WHOLE_STEPS } : {}),
        values: (_chart, ticks) => ticks.map((tick) => (tick === 0 ? "0" : write(tick))),
      },
    ],
    series: [
      {},
      ...plotted.map(({ colour, isFilled }): uPlot.Series => {
        const stroke = colourOf(box, `series-${colour}`);
        return isFilled
          ? { fill: stroke, width: 0, points: { show: false }, ...stepped }
          : { stroke, width: 2, points: { size: 5, fill: stroke, show: true, filter: lonely } };
      }),
    ],
    hooks: { setCursor: [({ cursor: { idx } }) => onCursor(idx ?? undefined)] },
  };
}

/** Values without a neighbour, which a line does not show. */
function lonely({ data }: uPlot, series: number): number[] {
  const values = data[series] ?? [];
  const isThere = (at: number): boolean => typeof values[at] === "number";
  return [...values.keys()].filter((at) => isThere(at) && !isThere(at - 1) && !isThere(at + 1));
}

/** The history's step. */
const STEP_S = 60;

/** Between lines of a scale on which things are counted. */
const WHOLE_STEPS = [1, 2, 5]
  .flatMap((step) => Array.from({ length: 12 }, (_, power) => step * 10 ** power))
  .sort((one, other) => one - other);

const bars = uPlot.paths.bars?.({ size: [1, 100], gap: 0 });
const stepped = bars === undefined ? {} : { paths: bars };

const MOST_LINES = 360;

/** The same as a table, made when it is opened. */
function Values({
  title,
  seconds,
  plotted,
  write,
}: Pick<ChartProps, "title" | "seconds" | "plotted" | "write">) {
  const [isOpen, setIsOpen] = useState(false);
  const rows = isOpen
    ? seconds
        .map((second, at) => ({ second, values: plotted.map(({ line }) => line[at]) }))
        .filter(({ values }) => values.some((value) => value))
        .reverse()
        .slice(0, MOST_LINES)
    : [];
  return (
    <details onToggle={({ currentTarget }) => setIsOpen(currentTarget.open)}>
      <summary>{t("asTable")}</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, which must be possible with the keyboard */}
      <div class="scroll tall" tabIndex={0}>
        <table class="small">
          <caption class="hidden">{title}</caption>
          <thead>
            <tr>
              <th scope="col">{t("time")}</th>
              {plotted.map(({ name }) => (
                <th key={name} scope="col" class="number">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ second, values }) => (
              <tr key={second}>
                <td class="figures">{format().minute(second * 1000)}</td>
                {values.map((value, at) => (
                  <td key={plotted[at]?.name} class="number">
                    {value === null || value === undefined ? "–" : write(value)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
