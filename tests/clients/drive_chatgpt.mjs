// Runs on Node beside an installed npm package "chatgpt": a session, told as JSON on stdout.
// Arguments: the package's entry file, the whole URL of the conversation endpoint, a bearer.
import { pathToFileURL } from "node:url"

const [entry, url, token] = process.argv.slice(2)
const { ChatGPTUnofficialProxyAPI } = await import(pathToFileURL(entry).href)
const api = new ChatGPTUnofficialProxyAPI({ accessToken: token, apiReverseProxyUrl: url })

const partial = []
const first = await api.sendMessage(`潮😀 'a' "b" \\`, {
  onProgress: (reply) => partial.push(reply.text),
  timeoutMs: 30000
})
const second = await api.sendMessage("again", {
  conversationId: first.conversationId,
  parentMessageId: first.id,
  timeoutMs: 30000
})
let refused
try {
  await api.sendMessage("again", {
    conversationId: "00000000-0000-4000-8000-000000000000",
    parentMessageId: first.id,
    timeoutMs: 30000
  })
} catch (error) {
  refused = { status: error.statusCode, message: error.message }
}
console.log(
  JSON.stringify({
    partial,
    first: first.text,
    second: second.text,
    same: first.conversationId === second.conversationId,
    refused
  })
)
