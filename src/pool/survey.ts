import type { Millis } from "../wire/clock.ts";
import { type Account, standing, wayOf } from "./account.ts";
import { restsFor } from "./rank.ts";
import { type Obstacle, obstacleOf } from "./words.ts";

/** One account at the moment of a choice. It is kept as it was: accounts are values. */
export type Candidate = {
  readonly id: string;
  readonly account: Account;
  readonly inFlight: number;
  /** Whether the request has failed on it before. */
  readonly isTried: boolean;
  /** Whether the request could not get out by the account's way. */
  readonly isBarred?: boolean;
};

/** What was chosen: the account that the conversation was on before, and the one that it is on now. */
export type ChoiceMade = {
  readonly homeId: string | undefined;
  readonly chosenId: string | undefined;
};

/** How the accounts stood when one of them was to be chosen. */
export type Survey = ChoiceMade & {
  readonly atMs: Millis;
  readonly model: string;
  /** Who made what the conversation holds, and whether nobody else can go on with it. */
  readonly owner: Asked["owner"];
  /** The headroom that accounts are taken to have which nobody has measured. */
  readonly assumed: number;
  /** How many accounts there were; `candidates` are all of them where they are few. */
  readonly total: number;
  readonly candidates: readonly Candidate[];
};

/** What the choice was for. */
type Asked = {
  readonly model: string;
  readonly tried: ReadonlySet<string>;
  readonly barred?: ReadonlySet<string> | undefined;
  readonly owner?: { readonly accountId: string; readonly isNeeded: boolean } | undefined;
};

/** More accounts are not all looked at for each request: the work of one must not grow with them. */
export const FEW = 50;
const SAMPLE = 20;

type Seat = { readonly account: Account; readonly inFlight: number };
type Seats = ReadonlyMap<string, Seat>;

/** Takes a survey; `assumed` is the headroom of accounts that nobody has measured. */
export type Surveyor = (asked: Asked, choice: ChoiceMade, assumed: number, now: Millis) => Survey;

/**
 * Takes surveys of `seats`, by account id, after a choice. Nothing is worked out, only noted: that comes when somebody
 * asks. Of many accounts it notes those that the request has to do with and some others, by turns.
 */
export function createSurveyor(seats: Seats): Surveyor {
  let cursor = seats.entries();

  /** The next seat of all, round and round. */
  const next = (): readonly [string, Seat] | undefined => {
    const step = cursor.next();
    if (step.done !== true) return step.value;
    cursor = seats.entries();
    return cursor.next().value;
  };

  const some = (wanted: readonly (string | undefined)[]): Seats => {
    const found = new Map<string, Seat>();
    for (const id of wanted) {
      const seat = id === undefined ? undefined : seats.get(id);
      if (id !== undefined && seat !== undefined) found.set(id, seat);
    }
    for (let looked = 0; looked < SAMPLE; looked++) {
      const entry = next();
      if (entry !== undefined) found.set(entry[0], entry[1]);
    }
    return found;
  };

  return ({ model, tried, barred, owner }, { homeId, chosenId }, assumed, now) => {
    const looked = seats.size <= FEW ? seats : some([chosenId, homeId, owner?.accountId, ...tried]);
    const candidates: Candidate[] = [];
    for (const [id, { account, inFlight }] of looked) {
      const isTried = tried.size > 0 && tried.has(id);
      // The request itself is not what it was chosen in spite of.
      candidates.push({
        id,
        account,
        inFlight: id === chosenId ? inFlight - 1 : inFlight,
        isTried,
        isBarred: barred !== undefined && barred.size > 0 && barred.has(wayOf(account.login)),
      });
    }
    return { atMs: now, model, homeId, chosenId, owner, assumed, total: seats.size, candidates };
  };
}

/** Why a candidate could not be chosen; undefined for one that could. `mostInFlight` 0 is no limit. */
export function obstacleTo(
  { account, inFlight, isTried, isBarred = false }: Candidate,
  { model, atMs }: Survey,
  mostInFlight: number,
): Obstacle | undefined {
  if (isTried) return "tried";
  if (isBarred) return "barred";
  const obstacle = obstacleOf(standing(account, atMs));
  if (obstacle !== undefined) return obstacle;
  if (restsFor(account, model, atMs)) return "model";
  return mostInFlight > 0 && inFlight >= mostInFlight ? "full" : undefined;
}
