/* DPDK's rte_lpm, driven by benches/lpm.rs: `rte_lpm ROUTES ADDRESSES BURST [EAL arguments]`.
 *
 * Both files are 32-bit words of this machine: address, length and next hop of each route; addresses to look up. Each line
 * on standard input is an order, and is answered by a line. "results FIRST COUNT": a hash of what these addresses gave, in
 * order. "lookups FIRST COUNT": CPU nanoseconds a lookup of one pass over them, one by one, in bulk, and four at a time.
 * "updates COUNT": CPU nanoseconds of taking routes out and of putting them back, per change. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_lpm.h>

#define RULES_MAX (1 << 21)
#define TBL8S (1 << 15)
#define BURST_MAX 256
#define NO_ROUTE UINT32_MAX

struct route {
	uint32_t address, length, hop;
};

static struct rte_lpm *table;
static struct route *routes;
static uint32_t *all_addresses;
static size_t route_count, all_count, burst;

static void fail(const char *what)
{
	fprintf(stderr, "rte_lpm: %s\n", what);
	exit(1);
}

static void *load(const char *path, size_t item, size_t *count)
{
	FILE *file = fopen(path, "rb");
	if (file == NULL || fseek(file, 0, SEEK_END) != 0)
		fail(path);
	long bytes = ftell(file);
	void *items = malloc(bytes);
	rewind(file);
	*count = bytes / item;
	if (items == NULL || fread(items, item, *count, file) != *count)
		fail(path);
	fclose(file);
	return items;
}

static double now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static void results(const uint32_t *addresses, size_t address_count)
{
	uint64_t hash = 0;
	for (size_t i = 0; i < address_count; i++) {
		uint32_t hop;
		if (rte_lpm_lookup(table, addresses[i], &hop) != 0)
			hop = NO_ROUTE;
		hash = hash * 0x100000001b3 + hop;
	}
	printf("%llu\n", (unsigned long long)hash);
}

static void lookups(const uint32_t *addresses, size_t address_count)
{
	uint32_t hops[BURST_MAX] = {0};
	double start = now_ns();
	for (size_t i = 0; i < address_count; i++) {
		int missed = rte_lpm_lookup(table, addresses[i], &hops[0]);
		__asm__ volatile("" : : "r"(missed), "r"(hops) : "memory");
	}
	double single = now_ns() - start;

	start = now_ns();
	for (size_t i = 0; i + burst <= address_count; i += burst) {
		rte_lpm_lookup_bulk(table, &addresses[i], hops, burst);
		__asm__ volatile("" : : "r"(hops) : "memory");
	}
	double bulk = now_ns() - start;

	start = now_ns();
	for (size_t i = 0; i + 4 <= address_count; i += 4) {
		xmm_t four;
		memcpy(&four, &addresses[i], sizeof(four));
		rte_lpm_lookupx4(table, four, hops, NO_ROUTE);
		__asm__ volatile("" : : "r"(hops) : "memory");
	}
	double four = now_ns() - start;
	printf("%f %f %f\n", single / address_count, bulk / address_count, four / address_count);
}

static void updates(size_t count)
{
	/* Spread over the table, which is in no order. */
	size_t step = route_count / count;
	double start = now_ns();
	for (size_t i = 0; i < count; i++)
		if (rte_lpm_delete(table, routes[i * step].address, routes[i * step].length) != 0)
			fail("a route could not be deleted");
	double deleted = now_ns();
	for (size_t i = 0; i < count; i++)
		if (rte_lpm_add(table, routes[i * step].address, routes[i * step].length, routes[i * step].hop) != 0)
			fail("a route could not be added");
	printf("%f %f\n", (deleted - start) / count, (now_ns() - deleted) / count);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		fail("ROUTES ADDRESSES BURST [EAL arguments]");
	routes = load(argv[1], sizeof(*routes), &route_count);
	all_addresses = load(argv[2], sizeof(*all_addresses), &all_count);
	burst = strtoul(argv[3], NULL, 10);
	if (burst == 0 || burst > BURST_MAX)
		fail("BURST is 1 to 256");
	if (rte_eal_init(argc - 3, argv + 3) < 0)
		fail("the environment abstraction layer did not start");

	struct rte_lpm_config config = {.max_rules = RULES_MAX, .number_tbl8s = TBL8S};
	table = rte_lpm_create("routes", SOCKET_ID_ANY, &config);
	if (table == NULL)
		fail("no memory for the table");
	for (size_t i = 0; i < route_count; i++)
		if (rte_lpm_add(table, routes[i].address, routes[i].length, routes[i].hop) != 0)
			fail("a route could not be added");

	char line[64];
	while (fgets(line, sizeof(line), stdin) != NULL) {
		char order[16] = "";
		size_t first = 0, count = 0;
		int words = sscanf(line, "%15s %zu %zu", order, &first, &count);
		bool known = words == 3 && first <= all_count && count <= all_count - first;
		if (known && strcmp(order, "results") == 0)
			results(all_addresses + first, count);
		else if (known && strcmp(order, "lookups") == 0)
			lookups(all_addresses + first, count);
		else if (words == 2 && strcmp(order, "updates") == 0 && first > 0 && first <= route_count)
			updates(first);
		else
			fail("no such order");
		fflush(stdout);
	}
	return 0;
}
