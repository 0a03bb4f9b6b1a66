/** What stands in an order knows its place there; -1 outside of it. */
export type Placed = { at: number };

/** Things in an order in which the first is always at hand. Each change takes the logarithm of their number. */
export type Order<T extends Placed> = {
  readonly add: (item: T) => void;
  /** Takes it out; what is not in it stays out. */
  readonly remove: (item: T) => void;
  /** Puts an item right whose rank has changed. */
  readonly moved: (item: T) => void;
  readonly first: () => T | undefined;
  /** The first that `isAble`. Looks at those before it, and at few others. */
  readonly find: (isAble: (item: T) => boolean) => T | undefined;
  readonly count: () => number;
};

/**
 * An empty order: a binary heap whose items know where they are, so that one in its midst can be moved. An item can
 * be in one order at a time. `isBefore` must be strict, and may change for an item only together with `moved`.
 */
export function createOrder<T extends Placed>(isBefore: (one: T, other: T) => boolean): Order<T> {
  const heap: T[] = [];

  const put = (item: T, at: number): void => {
    heap[at] = item;
    item.at = at;
  };

  /** Moves `item` up from `start`; where it ends. */
  const rise = (item: T, start: number): number => {
    let at = start;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !isBefore(item, parent)) break;
      put(parent, at);
      at = above;
    }
    put(item, at);
    return at;
  };

  const sink = (item: T, start: number): void => {
    let at = start;
    for (;;) {
      let below = 2 * at + 1;
      let child = heap[below];
      const right = heap[below + 1];
      if (child !== undefined && right !== undefined && isBefore(right, child)) {
        below += 1;
        child = right;
      }
      if (child === undefined || !isBefore(child, item)) break;
      put(child, at);
      at = below;
    }
    put(item, at);
  };

  const moved = (item: T): void => {
    const { at } = item;
    if (at >= 0 && rise(item, at) === at) sink(item, at);
  };

  const search = (at: number, best: T | undefined, isAble: (item: T) => boolean): T | undefined => {
    const item = heap[at];
    if (item === undefined || (best !== undefined && !isBefore(item, best))) return best;
    if (isAble(item)) return item;
    return search(2 * at + 2, search(2 * at + 1, best, isAble), isAble);
  };

  return {
    add: (item) => {
      rise(item, heap.length);
    },
    remove: (item) => {
      const { at } = item;
      if (at < 0) return;
      item.at = -1;
      const last = heap.pop();
      if (last === undefined || last === item) return;
      put(last, at);
      moved(last);
    },
    moved,
    first: () => heap[0],
    find: (isAble) => search(0, undefined, isAble),
    count: () => heap.length,
  };
}
