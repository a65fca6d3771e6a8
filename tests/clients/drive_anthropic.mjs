// Anthropic's TypeScript package and the AI SDK's provider against a gateway.
// Arguments: the folder of node_modules, then the models. Tells what came of it as JSON.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, ...models] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${folder}/x.js`));
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { default: Anthropic } = await load("@anthropic-ai/sdk");
const { betaZodTool } = await load("@anthropic-ai/sdk/helpers/beta/zod");
const { createAnthropic } = await load("@ai-sdk/anthropic");
const { generateText, streamText, tool, stepCountIs } = await load("ai");
const { z } = await load("zod");

const client = new Anthropic({ maxRetries: 0 });
const provider = createAnthropic({
  baseURL: `${process.env.ANTHROPIC_BASE_URL}/v1`,
  apiKey: process.env.ANTHROPIC_API_KEY,
});
const hello = [{ role: "user", content: "Hello" }];
const question = 'use weather of "Oslo"';

async function told(model) {
  const whole = await client.messages.create({ model, max_tokens: 100, messages: hello });
  const stream = client.messages.stream({ model, max_tokens: 100, messages: hello });
  const pieces = [];
  stream.on("text", (piece) => pieces.push(piece));
  const final = await stream.finalMessage();
  const weather = betaZodTool({
    name: "weather",
    description: "Tells the weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    run: ({ city }) => `${city}: fair`,
  });
  const ran = await client.beta.messages.toolRunner({
    model,
    max_tokens: 100,
    tools: [weather],
    messages: [{ role: "user", content: question }],
  });
  const looped = await generateText({
    model: provider(model),
    prompt: question,
    tools: {
      weather: tool({
        description: "Tells the weather of a city.",
        inputSchema: z.object({ city: z.string() }),
        execute: ({ city }) => `${city}: fair`,
      }),
    },
    stopWhen: stepCountIs(3),
  });
  const flowing = streamText({ model: provider(model), prompt: "Hello", maxRetries: 0 });
  let flowed = "";
  for await (const piece of flowing.textStream) flowed += piece;
  const usage = await flowing.usage;
  return {
    whole: whole.content[0].text,
    requestId: whole._request_id !== null,
    streamed: final.content.map((block) => block.text).join(""),
    pieces: pieces.join(""),
    runner: ran.content.at(-1).text,
    looped: looped.text,
    flowed,
    counted: usage.inputTokens > 0 && usage.outputTokens > 0,
    refused: await failure(model),
  };
}

async function failure(model) {
  const messages = [{ role: "user", content: "answer with status 400" }];
  try {
    await client.messages.create({ model, max_tokens: 100, messages });
  } catch (error) {
    return [error.constructor.name, error.status, error.error.error.type];
  }
  return null;
}

const shown = {};
for (const model of models) shown[model] = await told(model);
console.log(JSON.stringify(shown));
