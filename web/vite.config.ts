import { defineConfig } from "vite";

// Where the app runs while the page is developed with `npm run dev`.
const app = "http://127.0.0.1:7071";

export default defineConfig({
  base: "/studio/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    cssTarget: "esnext", // keep light-dark() as it is
    assetsInlineLimit: 0, // the Content-Security-Policy allows no data: scripts or fonts
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: { proxy: { "/language": app, "/studio/config.json": app } },
});
