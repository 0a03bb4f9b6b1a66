import type { Clock, Millis } from "../wire/clock.ts";

/** What spacing needs. */
export type FamilyPorts = {
  readonly clock: Pick<Clock, "after">;
  /** How many tasks run at a time over all families; read anew each time. */
  readonly limit: () => number;
  /** A pause between two tasks of one family; asked for each. */
  readonly pauseMs: () => Millis;
};

/** A task's place in the line. */
export type Place<T> = {
  readonly done: Promise<T>;
  /** Somebody waits for it: it goes before all that nobody waits for, and without a pause. */
  readonly hurry: () => void;
};

/** Runs tasks side by side, but those that share a family one after the other, with a pause after each that asked for it. */
export type Families = {
  /** `keys` name the families of the task; it runs while none of them is taken. */
  readonly enter: <T>(keys: readonly string[], task: () => Promise<T>) => Place<T>;
  /** Begins a pause for these families. Those who hurry do not wait for it. */
  readonly rest: (keys: readonly string[]) => void;
  /** Ends all pauses, for good: for the end of the program. */
  readonly close: () => void;
};

type Job = {
  readonly keys: readonly string[];
  readonly begin: () => void;
};

/**
 * Families without anybody in them. A task takes all its families at once or none, so that no two tasks can wait for
 * each other; who came first goes first, and whoever waits keeps later ones of its families behind it.
 */
export function createFamilies({ clock, limit, pauseMs }: FamilyPorts): Families {
  const urgent = new Set<Job>();
  const ordinary = new Set<Job>();
  const taken = new Set<string>();
  const resting = new Map<string, object>();
  /** How many wait for each family, so that who comes behind others need not be looked at. */
  const queued = new Map<string, number>();
  let running = 0;
  let isClosed = false;

  const queue = (job: Job): void => {
    ordinary.add(job);
    for (const key of job.keys) queued.set(key, (queued.get(key) ?? 0) + 1);
  };
  const start = (job: Job): void => {
    urgent.delete(job);
    ordinary.delete(job);
    for (const key of job.keys) {
      const left = (queued.get(key) ?? 1) - 1;
      if (left > 0) queued.set(key, left);
      else queued.delete(key);
    }
    running += 1;
    for (const key of job.keys) taken.add(key);
    job.begin();
  };
  const mayStart = (job: Job, kept: ReadonlySet<string>): boolean => {
    const isPausing = !urgent.has(job) && job.keys.some((key) => resting.has(key));
    return !isPausing && job.keys.every((key) => !taken.has(key) && !kept.has(key));
  };
  const admit = (): void => {
    const most = Math.max(limit(), 1);
    const kept = new Set<string>();
    for (const line of [urgent, ordinary]) {
      for (const job of line) {
        if (running >= most) return;
        if (mayStart(job, kept)) start(job);
        else for (const key of job.keys) kept.add(key);
      }
    }
  };
  const leave = (job: Job): void => {
    running -= 1;
    for (const key of job.keys) taken.delete(key);
    admit();
  };

  return {
    enter: (keys, task) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const job: Job = { keys, begin: resolve };
      const done = promise.then(task).finally(() => leave(job));
      const isBehind = keys.some((key) => queued.has(key));
      queue(job);
      if (!isBehind) admit();
      return {
        done,
        hurry: () => {
          if (!ordinary.delete(job)) return;
          urgent.add(job);
          admit();
        },
      };
    },
    rest: (keys) => {
      if (isClosed) return;
      const pause = {};
      for (const key of keys) resting.set(key, pause);
      // A timer and no time of day: a clock that is set back must not make the pause longer.
      clock.after(pauseMs(), () => {
        for (const key of keys) if (resting.get(key) === pause) resting.delete(key);
        admit();
      });
    },
    close: () => {
      isClosed = true;
      resting.clear();
      admit();
    },
  };
}
