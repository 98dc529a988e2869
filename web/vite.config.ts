import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

// Where the app runs while the page is developed with `npm run dev`.
const app = "http://127.0.0.1:7071";

// The app sends these to browsers that accept them; compressing takes too long for a request.
const compressed: Plugin = {
  name: "compressed",
  apply: "build",
  writeBundle({ dir }) {
    for (const file of readdirSync(dir!, { recursive: true, encoding: "utf-8" })) {
      if (!/\.(html|js|css|svg)$/.test(file)) continue;
      const content = readFileSync(`${dir}/${file}`);
      writeFileSync(`${dir}/${file}.br`, brotliCompressSync(content));
      writeFileSync(`${dir}/${file}.gz`, gzipSync(content, { level: 9 }));
    }
  },
};

export default defineConfig({
  base: "/studio/",
  plugins: [compressed],
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
