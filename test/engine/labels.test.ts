import { expect, test } from "bun:test";
import { createLabel } from "../../src/engine/labels.ts";

test("the first values stay as they are, whatever comes later is one", () => {
  const label = createLabel(2);
  expect(["a", "b", "a", "c", "d", "b"].map(label)).toEqual(["a", "b", "a", "other", "other", "b"]);
});
