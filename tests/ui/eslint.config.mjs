// Rules for the page and its tests. `tsc` checks the types and names; this checks the habits.

import js from "@eslint/js";

const names = (/** @type {string} */ text) => Object.fromEntries(text.split(" ").map((name) => [name, "readonly"]));

export default [
  { ignores: ["**/node_modules/", "**/*.ts"] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2023, sourceType: "module" },
    rules: {
      // The type checker knows every name.
      "no-undef": "off",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "no-var": "error",
      "prefer-const": "error",
      eqeqeq: "error",
      "no-console": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "text from outside is never markup: use h()" },
        { property: "outerHTML", message: "text from outside is never markup: use h()" },
        { property: "insertAdjacentHTML", message: "text from outside is never markup: use h()" },
      ],
    },
  },
  { files: ["**/*.mjs"], languageOptions: { globals: names("process console") }, rules: { "no-console": "off" } },
];
