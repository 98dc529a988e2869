import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Category, Project } from "../src/api/types";
import { ApiError } from "../src/api/http";

const server = {
  getProject: vi.fn<() => Promise<Project>>(),
  listCategories: vi.fn<() => Promise<Category[]>>(),
};
vi.mock("../src/api/client", () => ({
  getProject: () => server.getProject(),
  listCategories: () => server.listCategories(),
  getConnection: async () => ({ state: "none" }),
  getStatistics: async () => ({ documents: {} }),
}));
const { OpenProject } = await import("../src/state/project");

beforeEach(() => {
  vi.useFakeTimers();
  const listen = { addEventListener: () => {}, removeEventListener: () => {} };
  vi.stubGlobal("document", { visibilityState: "visible", ...listen });
  vi.stubGlobal("window", globalThis);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it("reads the categories as well when it was opened in an outage that has ended", async () => {
  const away = new ApiError(0, { code: "Unreachable", message: "The server cannot be reached." });
  server.getProject.mockRejectedValue(away);
  server.listCategories.mockRejectedValue(away);
  const open = new OpenProject("p");
  await open.open();
  expect(open.error.value?.message).toBe("The server cannot be reached.");
  server.getProject.mockResolvedValue({ projectName: "p" } as unknown as Project);
  server.listCategories.mockResolvedValue([{ category: "Refund" }]);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(open.categories.value).toEqual([{ category: "Refund" }]);
  expect(open.error.value).toBeNull();
  open.close();
});
