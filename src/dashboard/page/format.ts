import type { Language } from "./texts.ts";

/** How numbers and times are written in a language. */
export type Format = {
  /** A count in full: `12,345`. */
  readonly count: (value: number) => string;
  /** A large count in few characters: `1.2M`. */
  readonly short: (value: number) => string;
  /** A share from 0 to 1: `34%`. */
  readonly share: (value: number) => string;
  /** A length of time in its two largest units: `2 h 10 min`. */
  readonly span: (ms: number) => string;
  /** A measured time with three digits: `820 ms`, `1.42 s`. */
  readonly measured: (ms: number) => string;
  /** A time of day: `14:03:27`. */
  readonly clock: (atMs: number) => string;
  /** A time of day without seconds: `14:03`. */
  readonly minute: (atMs: number) => string;
  /** A moment in full, for titles. */
  readonly moment: (atMs: number) => string;
};

const UNITS = {
  en: { d: " d", h: " h", min: " min", s: " s", ms: " ms" },
  zh: { d: " 天", h: " 小时", min: " 分", s: " 秒", ms: " 毫秒" },
} as const satisfies Record<Language, Record<string, string>>;

/** Whose dates and whose numbers: a day before its month, and M for a million. */
const LOCALES = {
  en: { dates: "en-GB", numbers: "en-US" },
  zh: { dates: "zh-CN", numbers: "zh-CN" },
} as const satisfies Record<Language, Record<string, string>>;

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Everything that writes numbers and times in `language`; `timeZone` is the browser's unless it is said. */
export function createFormat(language: Language, timeZone?: string): Format {
  const { dates, numbers } = LOCALES[language];
  const zone = timeZone === undefined ? {} : { timeZone };
  const whole = new Intl.NumberFormat(numbers, { maximumFractionDigits: 0 });
  const compact = new Intl.NumberFormat(numbers, {
    notation: "compact",
    maximumSignificantDigits: 3,
  });
  const percent = new Intl.NumberFormat(numbers, { style: "percent", maximumFractionDigits: 0 });
  const clock = new Intl.DateTimeFormat(dates, { timeStyle: "medium", hourCycle: "h23", ...zone });
  const minute = new Intl.DateTimeFormat(dates, { timeStyle: "short", hourCycle: "h23", ...zone });
  const moment = new Intl.DateTimeFormat(dates, {
    dateStyle: "medium",
    timeStyle: "medium",
    hourCycle: "h23",
    ...zone,
  });
  const unit = UNITS[language];
  return {
    count: (value) => whole.format(value),
    short: (value) => (Math.abs(value) < 10_000 ? whole.format(value) : compact.format(value)),
    share: (value) => percent.format(value),
    span: (ms) => {
      const left = Math.max(ms, 0);
      if (left >= DAY) return twoUnits(left, DAY, unit.d, HOUR, unit.h);
      if (left >= HOUR) return twoUnits(left, HOUR, unit.h, MINUTE, unit.min);
      if (left >= MINUTE) return `${Math.floor(left / MINUTE)}${unit.min}`;
      return `${Math.floor(left / SECOND)}${unit.s}`;
    },
    measured: (ms) => {
      if (ms < SECOND) return `${Math.round(ms)}${unit.ms}`;
      if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(2)}${unit.s}`;
      if (ms < 2 * MINUTE) return `${(ms / SECOND).toFixed(1)}${unit.s}`;
      return twoUnits(ms, MINUTE, unit.min, SECOND, unit.s);
    },
    clock: (atMs) => clock.format(atMs),
    minute: (atMs) => minute.format(atMs),
    moment: (atMs) => moment.format(atMs),
  };
}

function twoUnits(ms: number, large: number, inLarge: string, small: number, inSmall: string) {
  const more = Math.floor(ms / large);
  const less = Math.floor((ms % large) / small);
  return less === 0 ? `${more}${inLarge}` : `${more}${inLarge} ${less}${inSmall}`;
}
