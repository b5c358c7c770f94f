// Turns of the AI SDK against a gateway. Prints one line of JSON for each turn: its name and what came of it.
//   node turns.mjs ADDRESS PROVIDER, where PROVIDER is chat, responses or messages

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";

const [address, provider] = process.argv.slice(2);
const openai = createOpenAI({ baseURL: `${address}/v1`, apiKey: "unused" });
const anthropic = createAnthropic({ baseURL: `${address}/v1`, apiKey: "unused" });
const providers = {
  chat: [openai.chat, "support"],
  responses: [openai.responses, "support"],
  messages: [anthropic, "drafting"],
};
const [model, pool] = providers[provider];
const asked = { model: model(pool), system: "Be brief.", prompt: "hello", maxOutputTokens: 64, maxRetries: 0 };
const City = z.object({ city: z.string() });
const weather = tool({
  description: "The weather in a city.",
  inputSchema: City,
  execute: async ({ city }) => `Rain in ${city}.`,
});

function steps(all) {
  return all.map((step) => ({
    text: step.text,
    finish: step.finishReason,
    calls: step.toolCalls.map(({ toolName, input }) => ({ toolName, input })),
    results: step.toolResults.map(({ output }) => output),
  }));
}

const turns = {
  async text() {
    const { text, finishReason, usage } = await generateText(asked);
    return { text, finish: finishReason, output: usage.outputTokens };
  },
  async stream() {
    const result = streamText(asked);
    const words = [];
    for await (const word of result.textStream) words.push(word);
    return { words, finish: await result.finishReason, output: (await result.usage).outputTokens };
  },
  async tools() {
    const result = await generateText({ ...asked, tools: { weather }, stopWhen: stepCountIs(3) });
    return { text: result.text, steps: steps(result.steps) };
  },
  async streamedTools() {
    const result = streamText({ ...asked, tools: { weather }, stopWhen: stepCountIs(3) });
    await result.consumeStream();
    return { text: await result.text, steps: steps(await result.steps) };
  },
  async object() {
    return (await generateObject({ ...asked, schema: City })).object;
  },
  async streamedObject() {
    const result = streamObject({ ...asked, schema: City });
    for await (const _ of result.partialObjectStream);
    return await result.object;
  },
  async unknownModel() {
    await generateText({ ...asked, model: model("nope") });
  },
};

for (const [turn, take] of Object.entries(turns)) {
  let outcome;
  try {
    outcome = { result: await take() };
  } catch (error) {
    outcome = { error: error.name, status: error.statusCode, message: error.message };
  }
  console.log(JSON.stringify({ turn, ...outcome }));
}
