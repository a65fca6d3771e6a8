// Runs on Node beside an installed npm package "openai": a session, told as JSON on stdout.
// Arguments: the package's folder. Address and key come from OPENAI_BASE_URL and OPENAI_API_KEY.
import path from "node:path"
import { pathToFileURL } from "node:url"

const [folder] = process.argv.slice(2)
const { default: OpenAI } = await import(pathToFileURL(path.join(folder, "index.mjs")).href)
const openai = new OpenAI({ maxRetries: 0 })
const chat = openai.chat.completions
const model = "gpt-4o"
const user = (content) => [{ role: "user", content }]

async function failure(content, more = {}) {
  try {
    await chat.create({ model, messages: user(content), ...more })
  } catch (error) {
    return [error.constructor.name, error.status, error.code]
  }
}

const city = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false
}
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "Tell the weather of a city.",
      parameters: city,
      parse: JSON.parse,
      function: ({ city }) => `${city}: fair`
    }
  }
]

const pieces = []
const streaming = await chat.create({ model, messages: user("Say 潮😀"), stream: true })
for await (const chunk of streaming) pieces.push(chunk.choices[0]?.delta?.content ?? "")

let cut
try {
  const broken = await chat.create({ model, messages: user("cut the stream, please"), stream: true })
  for await (const _ of broken);
} catch (error) {
  cut = error.constructor.name
}

const question = user("Compare 'Oslo' and 'Rome'.")
const runner = chat.runTools({ model, messages: question, tools })
const streamedRunner = chat.runTools({ model, messages: question, tools, stream: true })
const parsed = await chat.parse({
  model,
  messages: user("It is 'Vaduz'."),
  response_format: {
    type: "json_schema",
    json_schema: { name: "city", strict: true, schema: city }
  }
})
const { data, response } = await chat.create({ model, messages: user("Hello") }).withResponse()
const models = []
for await (const card of await openai.models.list()) models.push(card.id)

console.log(
  JSON.stringify({
    whole: data.choices[0].message.content,
    requestId: data._request_id === response.headers.get("x-request-id"),
    streamed: [pieces.join(""), pieces.length > 2],
    runner: await runner.finalContent(),
    calls: (await runner.allChatCompletions()).length,
    streamedRunner: await streamedRunner.finalContent(),
    parsed: parsed.choices[0].message.content,
    models,
    cut,
    unknown: await failure("Hello", { model: "no-such-model" }),
    refused: await failure("answer with status 422"),
    limited: await failure("answer with status 429", { model: "gpt-4o-mini" })
  })
)
