// Runs on Node beside an installed npm package "ollama": a session, told as JSON on stdout.
// Arguments: the package's folder, the gateway's address, a client key, the model.
import path from "node:path"
import { pathToFileURL } from "node:url"

const [folder, host, key, model] = process.argv.slice(2)
const { Ollama } = await import(pathToFileURL(path.join(folder, "dist", "index.mjs")).href)
const ollama = new Ollama({ host, headers: { Authorization: `Bearer ${key}` } })
const user = (content) => [{ role: "user", content }]
const tools = [
  {
    type: "function",
    function: {
      name: "weather",
      description: "Tell the weather of a city.",
      parameters: {
        type: "object",
        properties: { city: { type: "string" } },
        required: ["city"]
      }
    }
  }
]

async function collect(stream) {
  const parts = []
  for await (const part of stream) parts.push(part)
  return parts
}

async function failure(request) {
  try {
    const reply = await ollama.chat({ model, messages: user("Hello"), ...request })
    if (request.stream) await collect(reply)
  } catch (error) {
    return [error.name, error.status_code ?? null, error.message.includes("{")]
  }
}

async function loop() {
  const messages = user('Weather in "Oslo"')
  for (let rounds = 1; ; rounds++) {
    const { message } = await ollama.chat({ model, messages, tools })
    if (!message.tool_calls?.length) return [message.content, rounds]
    messages.push(message)
    for (const call of message.tool_calls) {
      const content = `${call.function.arguments.city}: fair`
      messages.push({ role: "tool", tool_name: call.function.name, content })
    }
  }
}

const whole = await ollama.chat({ model, messages: user("Hello") })
const parts = await collect(await ollama.chat({ model, messages: user("Say 潮😀"), stream: true }))
const generated = await collect(await ollama.generate({ model, prompt: "Hello", stream: true }))
const running = await ollama.chat({ model, messages: user("stop halfway for ever"), stream: true })
let aborted
try {
  for await (const _ of running) running.abort()
} catch (error) {
  aborted = error.name
}
const last = parts.at(-1)
const told = {
  whole: whole.message.content,
  streamed: parts.map((part) => part.message.content).join(""),
  final: [last.done, last.done_reason, last.eval_count > 0, last.total_duration > 0],
  generated: generated.map((part) => part.response).join(""),
  loop: await loop(),
  list: (await ollama.list()).models.map((model) => model.name).sort(),
  show: (await ollama.show({ model })).capabilities,
  ps: (await ollama.ps()).models.length,
  version: (await ollama.version()).version,
  unknown: await failure({ model: "nobody-has-it" }),
  broken: await failure({ messages: user("fail midway please"), stream: true }),
  aborted
}
console.log(JSON.stringify(told))
