// Runs on Node beside "ai" and "@ai-sdk/openai-compatible": a session, told as JSON on stdout.
// Arguments: node_modules. Address and key come from OPENAI_BASE_URL and OPENAI_API_KEY.
import { createRequire } from "node:module"
import path from "node:path"

const [folder] = process.argv.slice(2)
const require = createRequire(path.join(folder, "any.js"))
const { APICallError, generateText, Output, stepCountIs, streamText, tool } = require("ai")
const { createOpenAICompatible } = require("@ai-sdk/openai-compatible")
const { z } = require("zod")
globalThis.AI_SDK_LOG_WARNINGS = false

const gateway = createOpenAICompatible({
  name: "gateway",
  baseURL: process.env.OPENAI_BASE_URL,
  apiKey: process.env.OPENAI_API_KEY,
  includeUsage: true,
  supportsStructuredOutputs: true
})
const model = gateway("gpt-4o")
const tools = {
  get_weather: tool({
    description: "Tell the weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `${city}: fair`
  })
}

async function failure(name, prompt) {
  try {
    await generateText({ model: gateway(name), prompt, maxRetries: 0 })
  } catch (error) {
    return [APICallError.isInstance(error), error.statusCode, error.isRetryable]
  }
}

const plain = await generateText({ model, prompt: "Hello" })
const stream = streamText({ model, prompt: "Say 潮😀" })
const pieces = []
for await (const piece of stream.textStream) pieces.push(piece)

const looped = await generateText({
  model,
  tools,
  stopWhen: stepCountIs(3),
  prompt: "Compare 'Oslo' and 'Rome'."
})
const loop = streamText({ model, tools, stopWhen: stepCountIs(3), prompt: "How is it in 'Oslo'?" })
const kinds = new Set()
for await (const part of loop.fullStream) kinds.add(part.type)

const filled = await generateText({
  model,
  output: Output.object({ schema: z.object({ city: z.string(), people: z.number().int() }) }),
  prompt: "It is 'Vaduz', with 5696 people."
})
const thought = await generateText({ model: gateway("o4-mini"), prompt: "Why?" })
const image = Buffer.from("no more than a name")
const shown = await generateText({
  model,
  messages: [
    {
      role: "user",
      content: [
        { type: "text", text: "What is it?" },
        { type: "image", image, mediaType: "image/png" }
      ]
    }
  ]
})

console.log(
  JSON.stringify({
    plain: [plain.text, plain.finishReason, plain.usage.inputTokens, plain.usage.outputTokens],
    streamed: [pieces.join(""), pieces.length > 1, (await stream.usage).totalTokens],
    looped: [looped.text, looped.steps.length, looped.steps[0].toolCalls.length],
    loop: [await loop.text, [...kinds].filter((kind) => kind.startsWith("tool")).sort()],
    filled: filled.output,
    thought: [thought.reasoningText, thought.text],
    shown: shown.text,
    unknown: await failure("no-such-model", "Hello"),
    refused: await failure("gpt-4o", "answer with status 400"),
    limited: await failure("gpt-4o-mini", "answer with status 429")
  })
)
