/* A small stand-in for NVIDIA's management library, for tests on machines without a GPU.
 *
 * It answers the calls that the trainer makes (see nvml.h of the driver for their meaning) from a text
 * file, named by FAKE_NVML_STATE and read anew at each call, so that a test changes a device while the
 * trainer runs. Lines: `count N` | `<key> <gpu> <value>` | `fail <function> <code> [gpu]` (`*`: all
 * that take a device) | `xid <gpu> <code>`.
 * Keys: util, memory_used, memory_total, power, temperature, sm_clock, memory_clock, throttle (bit mask),
 * ecc_corrected, ecc_uncorrected, pcie_rx, pcie_tx, pcie_replays, nvlink_rx, nvlink_tx, nvlink_errors, mig (number of
 * instances, which share the memory; 0: not in MIG mode), unsupported_field (a field's id).
 * An xid line is reported once: the test appends further ones. A third number is the MIG instance's id.
 *
 * Build: cc -shared -fPIC -O1 -Wall -Wextra -o libnvidia-ml.so.1 fake_nvml.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TIMEOUT = 10 };
enum { MAX_DEVICES = 64, MAX_INSTANCES = 7, NO_INSTANCE = -1 };

/* `instance`: 0 for a GPU; n for its n-th MIG instance, which answers less. */
typedef struct { int index, instance; } Device;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct {
    Device *device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
} Event;
typedef struct {
    unsigned field, scope;
    long long timestamp, latency;
    int value_type, status;
    union { double d; unsigned ui; unsigned long ul; unsigned long long ull; long long sll; } value;
} FieldValue;

static Device devices[MAX_DEVICES];
static Device instances[MAX_DEVICES][MAX_INSTANCES];
static int reported_xids = 0;

static FILE *open_state(void) {
    const char *path = getenv("FAKE_NVML_STATE");
    return fopen(path ? path : "/etc/fake-nvml/state", "r");
}

/* The last line for a key and device wins. */
static long long read_value(const char *key, int index, long long otherwise) {
    FILE *file = open_state();
    char line[256], name[64];
    long long gpu, value, found = otherwise;
    if (!file) return otherwise;
    while (fgets(line, sizeof line, file)) {
        if (index < 0 && sscanf(line, "%63s %lld", name, &value) == 2 && !strcmp(name, key))
            found = value;
        else if (index >= 0 && sscanf(line, "%63s %lld %lld", name, &gpu, &value) == 3 &&
                 !strcmp(name, key) && gpu == index)
            found = value;
    }
    fclose(file);
    return found;
}

enum { NO_GPU = -1 };

/* How a function is to fail, for one GPU if the line names it. */
static int failure(const char *function, int gpu) {
    FILE *file = open_state();
    char line[256], name[64];
    int code, only, fields, found = SUCCESS;
    if (!file) return SUCCESS;
    while (fgets(line, sizeof line, file)) {
        fields = sscanf(line, "fail %63s %d %d", name, &code, &only);
        if (fields == 3 && only != gpu) continue;
        if (fields >= 2 && (!strcmp(name, function) || (!strcmp(name, "*") && gpu != NO_GPU))) found = code;
    }
    fclose(file);
    return found;
}

#define CHECKED_AT(gpu)                          \
    int code_ = failure(__func__, gpu);          \
    if (code_ != SUCCESS) return code_

#define CHECKED CHECKED_AT(NO_GPU)

/* What the driver does not tell of a MIG instance. */
#define CHECKED_FOR_GPU(device)                     \
    CHECKED_AT((device)->index);                    \
    if ((device)->instance) return NOT_SUPPORTED

int nvmlInit_v2(void) { CHECKED; return SUCCESS; }
int nvmlInitWithFlags(unsigned flags) { (void)flags; CHECKED; return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) {
    return code == NOT_SUPPORTED ? "Not Supported" : code == TIMEOUT ? "Timeout" : "Scripted failure";
}

int nvmlSystemGetDriverVersion(char *text, unsigned length) {
    CHECKED;
    snprintf(text, length, "999.1-fake");
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    CHECKED;
    *count = (unsigned)read_value("count", -1, 8);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    CHECKED_AT((int)index);
    if (index >= MAX_DEVICES || index >= (unsigned)read_value("count", -1, 8)) return INVALID_ARGUMENT;
    devices[index].index = (int)index;
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetIndex(Device *device, unsigned *index) {
    CHECKED_AT(device->index);
    *index = (unsigned)device->index;
    return SUCCESS;
}

int nvmlDeviceGetName(Device *device, char *text, unsigned length) {
    CHECKED_AT(device->index);
    snprintf(text, length, device->instance ? "Fake GPU 80GB MIG 3g.40gb" : "Fake GPU 80GB");
    return SUCCESS;
}

int nvmlDeviceGetUUID(Device *device, char *text, unsigned length) {
    CHECKED_AT(device->index);
    if (device->instance)
        snprintf(text, length, "MIG-fake-%04d-%d", device->index, device->instance);
    else
        snprintf(text, length, "GPU-fake-%04d", device->index);
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(Device *device, Utilization *rates) {
    CHECKED_FOR_GPU(device);
    if (read_value("mig", device->index, 0)) return NOT_SUPPORTED;
    rates->gpu = (unsigned)read_value("util", device->index, 90);
    rates->memory = rates->gpu / 2;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
    CHECKED_AT(device->index);
    memory->total = (unsigned long long)read_value("memory_total", device->index, 80LL << 30);
    memory->used = (unsigned long long)read_value("memory_used", device->index, 40LL << 30);
    if (device->instance) {
        memory->total /= (unsigned long long)read_value("mig", device->index, 1);
        memory->used /= (unsigned long long)read_value("mig", device->index, 1);
    }
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

#define NUMBER(function, key, otherwise)                         \
    int function(Device *device, unsigned *value) {              \
        CHECKED_FOR_GPU(device);                                 \
        *value = (unsigned)read_value(key, device->index, otherwise); \
        return SUCCESS;                                          \
    }

NUMBER(nvmlDeviceGetPowerUsage, "power", 500000) /* milliwatts */

NUMBER(nvmlDeviceGetPcieReplayCounter, "pcie_replays", 0)

int nvmlDeviceGetTemperature(Device *device, int sensor, unsigned *value) {
    (void)sensor;
    CHECKED_FOR_GPU(device);
    *value = (unsigned)read_value("temperature", device->index, 60);
    return SUCCESS;
}

int nvmlDeviceGetClockInfo(Device *device, int domain, unsigned *megahertz) {
    CHECKED_FOR_GPU(device);
    *megahertz = domain == 2 ? (unsigned)read_value("memory_clock", device->index, 2600)
                             : (unsigned)read_value("sm_clock", device->index, 1900);
    return SUCCESS;
}

int nvmlDeviceGetCurrentClocksEventReasons(Device *device, unsigned long long *mask) {
    CHECKED_FOR_GPU(device);
    *mask = (unsigned long long)read_value("throttle", device->index, 0);
    return SUCCESS;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(Device *device, unsigned long long *mask) {
    CHECKED_FOR_GPU(device);
    *mask = (unsigned long long)read_value("throttle", device->index, 0);
    return SUCCESS;
}

int nvmlDeviceGetTotalEccErrors(Device *device, int type, int counter, unsigned long long *count) {
    (void)counter;
    CHECKED_FOR_GPU(device);
    *count = (unsigned long long)read_value(type ? "ecc_uncorrected" : "ecc_corrected", device->index, 0);
    return SUCCESS;
}

int nvmlDeviceGetPcieThroughput(Device *device, int counter, unsigned *kilobytes) {
    CHECKED_FOR_GPU(device);
    *kilobytes = (unsigned)read_value(counter ? "pcie_rx" : "pcie_tx", device->index, 1000);
    return SUCCESS;
}

int nvmlDeviceGetMigMode(Device *device, unsigned *current, unsigned *pending) {
    CHECKED_FOR_GPU(device);
    *current = *pending = read_value("mig", device->index, 0) > 0;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *count) {
    CHECKED_FOR_GPU(device);
    *count = MAX_INSTANCES;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **instance) {
    CHECKED_FOR_GPU(device);
    if (index >= (unsigned)read_value("mig", device->index, 0)) return NOT_FOUND;
    *instance = &instances[device->index][index];
    **instance = (Device){device->index, (int)index + 1};
    return SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(Device *device, unsigned *id) {
    CHECKED_AT(device->index);
    if (!device->instance) return NOT_SUPPORTED;
    *id = (unsigned)device->instance;
    return SUCCESS;
}

int nvmlDeviceGetFieldValues(Device *device, int count, FieldValue *values) {
    CHECKED_FOR_GPU(device);
    for (int i = 0; i < count; i++) {
        const char *key = values[i].field == 138   ? "nvlink_tx"
                          : values[i].field == 139 ? "nvlink_rx"
                                                   : "nvlink_errors";
        values[i].status = (int)read_value("unsupported_field", device->index, 0) == (int)values[i].field
                               ? NOT_SUPPORTED
                               : SUCCESS;
        values[i].value_type = 3; /* unsigned long long */
        values[i].value.ull = (unsigned long long)read_value(key, device->index, 0);
    }
    return SUCCESS;
}

int nvmlEventSetCreate(void **set) { CHECKED; *set = devices; return SUCCESS; }
int nvmlEventSetFree(void *set) { (void)set; return SUCCESS; }

int nvmlDeviceRegisterEvents(Device *device, unsigned long long types, void *set) {
    (void)types; (void)set;
    CHECKED_AT(device->index);
    return SUCCESS;
}

/* Reports the next xid line that was not reported yet; polls until the time is over. */
int nvmlEventSetWait_v2(void *set, Event *event, unsigned timeout_ms) {
    (void)set;
    CHECKED;
    for (unsigned waited = 0;; waited += 50) {
        FILE *file = open_state();
        char line[256];
        int seen = 0, gpu, code, instance, fields;
        while (file && fgets(line, sizeof line, file)) {
            fields = sscanf(line, "xid %d %d %d", &gpu, &code, &instance);
            if (fields < 2 || seen++ < reported_xids) continue;
            reported_xids++;
            fclose(file);
            memset(event, 0, sizeof *event);
            devices[gpu].index = gpu;
            event->device = &devices[gpu];
            event->type = 8; /* critical Xid error */
            event->data = (unsigned long long)code;
            event->gpu_instance = fields == 3 ? (unsigned)instance : (unsigned)NO_INSTANCE;
            return SUCCESS;
        }
        if (file) fclose(file);
        if (waited >= timeout_ms) return TIMEOUT;
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    }
}
