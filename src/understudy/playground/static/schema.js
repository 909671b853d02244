// Is this a function that a model can be told of? Checked as it is typed, before the server has to refuse it.

import { dereference } from "./vendor/json-schema/dereference.js";
import { validate } from "./vendor/json-schema/validate.js";
import { DRAFT_07 } from "./draft07.js";
import { t } from "./words.js";

const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const KNOWN = dereference(DRAFT_07);
const FIELDS = ["name", "description", "parameters", "strict"];

/** Returns `{value, problem}`: the function, or one sentence on what is wrong with the text. */
export function checked(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { problem: syntax(text, error) };
  }
  const problem = ofFunction(value);
  return problem ? { problem } : { value };
}

function syntax(text, error) {
  const place = /position (\d+)/.exec(error.message);
  if (!place) return t("schema.json", { detail: error.message });
  const before = text.slice(0, Number(place[1])).split("\n");
  return t("schema.jsonAt", { line: before.length, column: before.at(-1).length + 1, detail: error.message });
}

function ofFunction(value) {
  if (!isObject(value)) return t("schema.object");
  if (value.type === "function" && isObject(value.function)) return t("schema.inner");
  if (!NAME.test(value.name ?? "")) return t("schema.name");
  const stranger = Object.keys(value).find((field) => !FIELDS.includes(field));
  if (stranger) return t("schema.unknown", { field: stranger, allowed: FIELDS.join(", ") });
  if ("parameters" in value) return ofParameters(value.parameters, value.strict === true);
  return null;
}

function ofParameters(schema, strict) {
  if (!isObject(schema)) return t("schema.parameters");
  const result = validate(schema, DRAFT_07, "7", KNOWN, true);
  if (!result.valid) {
    const deepest = result.errors.reduce((one, other) => (other.instanceLocation.length > one.instanceLocation.length ? other : one));
    return t("schema.invalid", { where: deepest.instanceLocation.slice(1) || "parameters", detail: deepest.error });
  }
  if (schema.type !== undefined && schema.type !== "object") return t("schema.type");
  return ofProperties(schema, "parameters", strict);
}

function ofProperties(schema, where, strict) {
  const properties = schema.properties ?? {};
  const lost = (schema.required ?? []).find((name) => !(name in properties));
  if (lost !== undefined) return t("schema.required", { where, name: lost });
  if (strict && schema.type === "object") {
    if (schema.additionalProperties !== false) return t("schema.closed", { where });
    const optional = Object.keys(properties).find((name) => !(schema.required ?? []).includes(name));
    if (optional !== undefined) return t("schema.optional", { where, name: optional });
  }
  for (const [name, inner] of Object.entries(properties)) {
    const problem = isObject(inner) && ofProperties(inner, `${where}.${name}`, strict);
    if (problem) return problem;
  }
  return null;
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

export const EXAMPLE = JSON.stringify(
  {
    name: "get_weather",
    description: "Get the weather of a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
  null,
  2,
);
