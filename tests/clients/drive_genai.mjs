// Runs on Node beside "@google/genai": a session, told as JSON on stdout.
// Arguments: node_modules, the model. Address and key come from GATEWAY_URL and GEMINI_API_KEY.
import { createRequire } from "node:module"
import path from "node:path"

const [folder, model] = process.argv.slice(2)
const require = createRequire(path.join(folder, "any.js"))
const { ApiError, FunctionCallingConfigMode, GoogleGenAI, Type } = require("@google/genai")

const client = new GoogleGenAI({
  apiKey: process.env.GEMINI_API_KEY,
  httpOptions: { baseUrl: process.env.GATEWAY_URL }
})
const told = {}

const answer = await client.models.generateContent({ model, contents: "Hello" })
const usage = answer.usageMetadata
told.whole = [answer.text, answer.candidates[0].finishReason, usage.totalTokenCount > 0]

const pieces = []
for await (const piece of await client.models.generateContentStream({ model, contents: "Say 潮😀" })) {
  pieces.push(piece)
}
told.streamed = [
  pieces.map((piece) => piece.text ?? "").join(""),
  pieces.length > 1,
  pieces.at(-1).candidates[0].finishReason
]

const declaration = {
  name: "get_weather",
  description: "Tell the weather of a city.",
  parameters: {
    type: Type.OBJECT,
    properties: { city: { type: Type.STRING } },
    required: ["city"]
  }
}
const seen = []
const callable = {
  tool: async () => ({ functionDeclarations: [declaration] }),
  callTool: async (calls) =>
    calls.map((call) => {
      seen.push(call.args.city)
      return {
        functionResponse: { id: call.id, name: call.name, response: { output: "fair" } }
      }
    })
}
const automatic = await client.models.generateContent({
  model,
  contents: "get_weather: how is it in 'Oslo'?",
  config: { tools: [callable] }
})
told.automatic = [automatic.text, seen]

const tools = [{ functionDeclarations: [declaration] }]
const question = { role: "user", parts: [{ text: "get_weather: how is it in 'Oslo' and 'Rome'?" }] }
const calling = await client.models.generateContent({
  model,
  contents: [question],
  config: {
    tools,
    toolConfig: { functionCallingConfig: { mode: FunctionCallingConfigMode.ANY } }
  }
})
told.called = calling.functionCalls.map((call) => [call.name, Object.keys(call.args)])
const results = calling.functionCalls.map((call, number) => ({
  functionResponse: { id: call.id, name: call.name, response: { output: `fair ${number}` } }
}))
const turns = [question, calling.candidates[0].content, { role: "user", parts: results }]
told.results = (await client.models.generateContent({ model, contents: turns, config: { tools } })).text

const shaped = await client.models.generateContent({
  model,
  contents: "Where is it?",
  config: {
    responseMimeType: "application/json",
    responseSchema: {
      type: Type.OBJECT,
      properties: { city: { type: Type.STRING } },
      required: ["city"]
    }
  }
})
told.shaped = Object.keys(JSON.parse(shaped.text))

const chat = client.chats.create({ model })
await chat.sendMessage({ message: "One" })
told.chat = (await chat.sendMessage({ message: "Two" })).text

async function failure(name, contents) {
  try {
    await client.models.generateContent({ model: name, contents })
  } catch (error) {
    return [error instanceof ApiError, error.status]
  }
}
told.unknown = await failure("nobody", "Hi")
told.refused = await failure(model, "answer with status 400")
console.log(JSON.stringify(told))
