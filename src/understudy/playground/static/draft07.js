// The schema of schemas, draft 07 (json-schema.org, BSD-3-Clause), without its annotations.

const nonNegative = { type: "integer", minimum: 0 };
const self = { $ref: "#" };
const list = { type: "array", minItems: 1, items: self };
const strings = { type: "array", items: { type: "string" }, uniqueItems: true };
const map = { type: "object", additionalProperties: self };
const simple = { enum: ["array", "boolean", "integer", "null", "number", "object", "string"] };

export const DRAFT_07 = {
  $schema: "http://json-schema.org/draft-07/schema#",
  $id: "http://json-schema.org/draft-07/schema#",
  type: ["object", "boolean"],
  properties: {
    $id: { type: "string" }, $schema: { type: "string" }, $ref: { type: "string" }, $comment: { type: "string" },
    title: { type: "string" }, description: { type: "string" }, readOnly: { type: "boolean" }, examples: { type: "array" },
    multipleOf: { type: "number", exclusiveMinimum: 0 },
    maximum: { type: "number" }, exclusiveMaximum: { type: "number" },
    minimum: { type: "number" }, exclusiveMinimum: { type: "number" },
    maxLength: nonNegative, minLength: nonNegative, pattern: { type: "string", format: "regex" },
    additionalItems: self, items: { anyOf: [self, list] },
    maxItems: nonNegative, minItems: nonNegative, uniqueItems: { type: "boolean" }, contains: self,
    maxProperties: nonNegative, minProperties: nonNegative, required: strings, additionalProperties: self,
    definitions: map, $defs: map, properties: map,
    patternProperties: { ...map, propertyNames: { format: "regex" } },
    dependencies: { type: "object", additionalProperties: { anyOf: [self, strings] } },
    propertyNames: self, enum: { type: "array", minItems: 1 },
    type: { anyOf: [simple, { type: "array", items: simple, minItems: 1, uniqueItems: true }] },
    format: { type: "string" }, contentMediaType: { type: "string" }, contentEncoding: { type: "string" },
    if: self, then: self, else: self, allOf: list, anyOf: list, oneOf: list, not: self,
  },
};
