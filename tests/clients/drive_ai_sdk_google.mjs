// Runs on Node beside "ai" and "@ai-sdk/google": a session, told as JSON on stdout.
// Arguments: node_modules, the model. Address and key come from GATEWAY_URL and GEMINI_API_KEY.
import { createRequire } from "node:module"
import path from "node:path"

const [folder, name] = process.argv.slice(2)
const require = createRequire(path.join(folder, "any.js"))
const { APICallError, generateText, Output, stepCountIs, streamText, tool } = require("ai")
const { createGoogleGenerativeAI } = require("@ai-sdk/google")
const { z } = require("zod")
globalThis.AI_SDK_LOG_WARNINGS = false

const google = createGoogleGenerativeAI({
  baseURL: `${process.env.GATEWAY_URL}/v1beta`,
  apiKey: process.env.GEMINI_API_KEY
})
const model = google(name)
const told = {}

const plain = await generateText({ model, prompt: "Hello" })
told.plain = [plain.text, plain.finishReason]

const stream = streamText({ model, prompt: "Say 潮😀" })
const pieces = []
for await (const piece of stream.textStream) pieces.push(piece)
told.streamed = [pieces.join(""), (await stream.usage).totalTokens > 0]

const tools = {
  get_weather: tool({
    description: "Tell the weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `${city}: fair`
  })
}
const looped = await generateText({
  model,
  tools,
  stopWhen: stepCountIs(3),
  prompt: "get_weather: how is it in 'Oslo'?"
})
told.looped = [looped.text, looped.steps.length]

const filled = await generateText({
  model,
  output: Output.object({ schema: z.object({ city: z.string() }) }),
  prompt: "It is 'Vaduz'."
})
told.filled = filled.output

try {
  await generateText({ model: google("nobody"), prompt: "Hi", maxRetries: 0 })
} catch (error) {
  told.unknown = [APICallError.isInstance(error), error.statusCode]
}
console.log(JSON.stringify(told))
