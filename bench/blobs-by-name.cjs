// Loaded into Azurite by `python -m bench.scan`. Azurite looks for a blob by its account first, which takes 25 ms
// among 100,000 blobs of one account; by its name first, that is next to nothing.
const { Collection } = require("lokijs");

for (const method of ["find", "findOne"]) {
  const before = Collection.prototype[method];
  Collection.prototype[method] = function (query, ...rest) {
    const byName = typeof query?.name === "string" ? { name: query.name, ...query } : query;
    return before.call(this, byName, ...rest);
  };
}
