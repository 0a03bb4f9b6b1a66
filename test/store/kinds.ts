import { rmSync } from "node:fs";
import { openFileStore } from "../../src/store/files.ts";
import type { Sealer } from "../../src/store/seal.ts";
import type { Store } from "../../src/store/store.ts";
import { type Clock, systemClock } from "../../src/wire/clock.ts";
import type { Kind } from "../support/databases.ts";
import { databasePlace, filePlace, type Place, textOf } from "../support/places.ts";
import { openedOf } from "../support/sealing.ts";
import { makeFolder } from "./folder.ts";
import { openInstance } from "./sql/instance.ts";

/** A place and the stores on it. */
export type StoredPlace = Place &
  AsyncDisposable & {
    /** A further store on it, as another process has it. */
    readonly open: (clock?: Clock) => Promise<Store>;
  };

/** Makes an empty place. */
export type MakePlace = () => Promise<StoredPlace>;

/** Account files in a folder, written by `sealer`; what is put there is written by `owner`. */
export function makeFilePlaceOf(sealer: Sealer, owner: Sealer): MakePlace {
  return async () => {
    const dir = makeFolder();
    const place = filePlace(dir);
    return {
      ...place,
      put: (name, record) => place.put(name, owner.seal(textOf(record))),
      putAside: (name, record) => place.putAside(name, owner.seal(textOf(record))),
      look: async (name) => {
        const stored = await place.look(name);
        return stored === undefined ? undefined : openedOf(stored);
      },
      open: (clock = systemClock) => openFileStore({ dir, sealer, clock, scanIntervalMs: () => 0 }),
      [Symbol.asyncDispose]: async () => rmSync(dir, { recursive: true, force: true }),
    };
  };
}

/** Accounts in a database of this kind. */
export function makePlaceIn({ make }: Kind): MakePlace {
  return async () => {
    const here = await make();
    return {
      ...databasePlace(here),
      open: async (clock = systemClock) => openInstance(here, { clock }).store,
      [Symbol.asyncDispose]: here[Symbol.asyncDispose],
    };
  };
}
