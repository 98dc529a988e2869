// Loaded into Azurite by `python -m bench.scan`, `python -m bench --by-key`, and for 100,000 documents, so that it does
// as Azure does. It looks for a blob by its account first, which takes 25 ms among 100,000 blobs of one account, and for
// a row among those of its partition; here by its own name first, which takes next to no time. And every five seconds it
// writes all that it holds to its files and answers nothing meanwhile, with 100,000 blobs for longer than a lease lasts;
// here it does not.
const Loki = require("lokijs");

Loki.prototype.autosaveEnable = () => {};

for (const method of ["find", "findOne"]) {
  const before = Loki.Collection.prototype[method];
  Loki.Collection.prototype[method] = function (query, ...rest) {
    const key = ["name", "RowKey"].find((field) => typeof query?.[field] === "string");
    return before.call(this, key ? { [key]: query[key], ...query } : query, ...rest);
  };
}
