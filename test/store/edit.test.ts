import { expect, test } from "bun:test";
import fc from "fast-check";
import { editJson } from "../../src/store/edit.ts";
import { dict, parseDict } from "../../src/wire/json.ts";

const rows: [name: string, before: string, path: readonly [string, ...string[]], after: string][] =
  [
    ["replaces a value", '{"a":1,"b":2}', ["a"], '{"a":"x","b":2}'],
    ["replaces a whole object", '{"a":{"b":[1,{"c":2}]},"d":3}', ["a"], '{"a":"x","d":3}'],
    ["adds to an empty object", "{}", ["a"], '{"a":"x"}'],
    ["adds at the end", '{"b":{}}', ["a"], '{"b":{},"a":"x"}'],
    [
      "adds in the layout of the last member",
      '{ "b": 1 ,\n\t"c" : [] \n}',
      ["a"],
      '{ "b": 1 ,\n\t"c" : [],\n\t"a": "x" \n}',
    ],
    ["goes inside", '{"t": {"a": null}, "a": 5}', ["t", "a"], '{"t": {"a": "x"}, "a": 5}'],
    ["is not misled by strings", '{"}\\"{":"\\\\","a":"{,"}', ["a"], '{"}\\"{":"\\\\","a":"x"}'],
    ["knows an escaped key", '{"\\u0061":1}', ["a"], '{"\\u0061":"x"}'],
    ["changes nothing where the way is missing", '{"b":1}', ["t", "a"], '{"b":1}'],
  ];
test.each(rows)("editJson %s", (_name, before, path, after) => {
  expect(editJson(before, [{ path, value: "x" }])).toBe(after);
});

test("editJson sets one member of any object and no other", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue()).map((value) => JSON.stringify(value)),
      fc.string().filter((key) => key !== "__proto__"),
      (before, key) => {
        const after = parseDict(editJson(before, [{ path: [key], value: 1 }]));
        expect(after).toEqual({ ...dict(parseDict(before)), [key]: 1 });
      },
    ),
  );
});

const commented: [
  name: string,
  before: string,
  path: readonly [string, ...string[]],
  after: string,
][] = [
  [
    "keeps comments, and puts what is new behind the one of the last member",
    '// {"a": 0}\n{\n  /* "a" */ "b": 1 // one\n  // end\n}\n',
    ["a"],
    '// {"a": 0}\n{\n  /* "a" */ "b": 1, // one\n  "a": {\n    "x": [\n      1\n    ]\n  }\n  // end\n}\n',
  ],
  [
    "takes a comma at the end as it is",
    '{\n\t"b": "//", // one\n}',
    ["a"],
    '{\n\t"b": "//", // one\n\t"a": {\n\t\t"x": [\n\t\t\t1\n\t\t]\n\t}\n}',
  ],
  [
    "begins a line behind a comment that ends one",
    '{ "b": 1 // one\n}',
    ["a"],
    '{ "b": 1, // one\n  "a": {\n    "x": [\n      1\n    ]\n  }\n}',
  ],
  ["makes the way", '{"b":1/**/}', ["t", "a"], '{"b":1,/**/"t":{"a":{"x":[1]}}}'],
  [
    "makes the way in lines of its own",
    "{}\n",
    ["t", "a"],
    '{\n  "t": {\n    "a": {\n      "x": [\n        1\n      ]\n    }\n  }\n}\n',
  ],
  [
    "keeps the file's line ends",
    '{\r\n    "b": 1\r\n}\r\n',
    ["a"],
    '{\r\n    "b": 1,\r\n    "a": {\r\n        "x": [\r\n            1\r\n        ]\r\n    }\r\n}\r\n',
  ],
  [
    "replaces a value by an object in the layout around it",
    '{\n  "t": {\n    "a": 5, // five\n    "b": 6\n  }\n}',
    ["t", "a"],
    '{\n  "t": {\n    "a": {\n      "x": [\n        1\n      ]\n    }, // five\n    "b": 6\n  }\n}',
  ],
  ["goes into no value that is no object", '{"t":[1]}', ["t", "a"], '{"t":[1]}'],
];
test.each(commented)("editJson with comments and objects %s", (_name, before, path, after) => {
  expect(editJson(before, [{ path, value: { x: [1] }, makesWay: true }])).toBe(after);
});
