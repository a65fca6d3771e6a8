// Runs on Node beside "openai", "ai" and "@ai-sdk/openai": sessions over Responses, told as JSON on
// stdout. Arguments: node_modules. Address and key come from OPENAI_BASE_URL and OPENAI_API_KEY.
import { createRequire } from "node:module"
import path from "node:path"

const [folder] = process.argv.slice(2)
const require = createRequire(path.join(folder, "any.js"))
const { APICallError, generateText, Output, stepCountIs, streamText, tool } = require("ai")
const { createOpenAI } = require("@ai-sdk/openai")
const OpenAI = require("openai")
const { zodTextFormat } = require("openai/helpers/zod")
const { z } = require("zod")
globalThis.AI_SDK_LOG_WARNINGS = false

// -- the openai package

const client = new OpenAI({ maxRetries: 0 })
const weather = {
  type: "function",
  name: "get_weather",
  strict: true,
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false
  }
}
const whole = await client.responses.create({ model: "gpt-4o", input: "Hello" })
const kinds = []
const stream = client.responses.stream({ model: "gpt-4o", input: "Say 潮😀" })
for await (const event of stream) kinds.push(event.type)
const streamed = await stream.finalResponse()

const asked = await client.responses.create({
  model: "gpt-4o",
  input: "How is it in 'Oslo' and 'Rome'?",
  tools: [weather]
})
const outputs = asked.output
  .filter((item) => item.type === "function_call")
  .map((item) => ({
    type: "function_call_output",
    call_id: item.call_id,
    output: `${JSON.parse(item.arguments).city}: fair`
  }))
const told = await client.responses.create({
  model: "gpt-4o",
  input: outputs,
  tools: [weather],
  previous_response_id: asked.id
})
const parsed = await client.responses.parse({
  model: "gpt-4o",
  input: "Where? 'Vaduz'",
  text: { format: zodTextFormat(z.object({ city: z.string() }), "city") }
})
const kept = await client.responses.retrieve(whole.id)
let unknown
try {
  await client.responses.create({ model: "gpt-nought", input: "Hello" })
} catch (error) {
  unknown = [error.constructor.name, error.status, error.code]
}

// -- Vercel's AI SDK: its openai provider asks Responses by itself

const provider = createOpenAI({})
const model = provider("gpt-4o")
const tools = {
  get_weather: tool({
    description: "Tell the weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `${city}: fair`
  })
}
const plain = await generateText({ model, prompt: "Hello" })
const looped = await generateText({
  model,
  tools,
  stopWhen: stepCountIs(3),
  prompt: "Compare 'Oslo' and 'Rome'."
})
const unkept = await generateText({
  model,
  tools,
  stopWhen: stepCountIs(3),
  prompt: "How is it in 'Oslo'?",
  providerOptions: { openai: { store: false } }
})
const loop = streamText({ model, tools, stopWhen: stepCountIs(3), prompt: "How is it in 'Oslo'?" })
const parts = new Set()
for await (const part of loop.fullStream) parts.add(part.type)
const filled = await generateText({
  model,
  output: Output.object({ schema: z.object({ city: z.string() }) }),
  prompt: "It is 'Vaduz'."
})
const thought = await generateText({
  model: provider("o4-mini"),
  prompt: "Why?",
  providerOptions: { openai: { reasoningSummary: "auto" } }
})
let refused
try {
  await generateText({ model, prompt: "answer with status 422", maxRetries: 0 })
} catch (error) {
  refused = [APICallError.isInstance(error), error.statusCode]
}

console.log(
  JSON.stringify({
    whole: whole.output_text,
    kinds: [kinds[0], kinds.at(-1)],
    streamed: streamed.output_text,
    told: told.output_text,
    parsed: parsed.output_parsed,
    kept: kept.output_text ?? kept.output[0].content[0].text,
    unknown,
    plain: [plain.text, plain.finishReason, plain.usage.inputTokens, plain.usage.outputTokens],
    looped: [looped.text, looped.steps.length, looped.steps[0].toolCalls.length],
    unkept: unkept.text,
    loop: [await loop.text, [...parts].filter((kind) => kind.startsWith("tool-")).sort()],
    filled: filled.output,
    thought: [thought.reasoningText, thought.text],
    refused
  })
)
