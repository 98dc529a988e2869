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
const { titleOf } = await import("../src/state/title");

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

it("leaves the title, the labels and the lock alone once it was left", async () => {
  const away = new ApiError(0, { code: "Unreachable", message: "The server cannot be reached." });
  server.getProject.mockRejectedValue(away);
  server.listCategories.mockResolvedValue([{ category: "Refund" }]);
  const open = new OpenProject("p");
  await open.open();
  open.lock.value = { reason: "Labeling is locked.", until: "Soon." };
  open.onUnlock = vi.fn();
  let answer = (_: Project): void => {};
  server.getProject.mockReturnValue(new Promise((answered) => (answer = answered)));
  await vi.advanceTimersByTimeAsync(10_000);
  open.close();
  const title = titleOf("p");
  answer({ projectName: "p", displayName: "P" } as unknown as Project);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([titleOf("p"), open.project.value, open.categories.value]).toEqual([title, null, []]);
  expect(open.onUnlock).not.toHaveBeenCalled();
});

it("is read once at a time after an outage", async () => {
  server.getProject.mockRejectedValue(new ApiError(503, { code: "Busy", message: "Busy." }));
  server.listCategories.mockResolvedValue([]);
  const open = new OpenProject("p");
  await open.open();
  server.getProject.mockReset();
  server.getProject.mockResolvedValue({ projectName: "p" } as unknown as Project);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(server.getProject).toHaveBeenCalledTimes(1);
  open.close();
});
