// run.c: runs a plan over a batch, slice by slice. While a slice computes, the next one's views are copied to
// pinned memory and sent. Small slices are replayed as graphs, since launching their steps one by one would
// take longer than the steps.
#include <assert.h>
#include <string.h>

#include "kernels/cuda/plan.h"

// ---- steps ----

// The rows of `images` images, or only the first row of each.
static struct matrix matrix_of(const struct cuda_plan *plan, int index, bool first_row, int images)
{
    const struct activation *activation = &plan->activations[index];
    char *data = plan->memory + plan->places.offsets[plan->activations[activation->view_of].memory.place];
    int step = first_row ? activation->rows : 1;
    return (struct matrix){.data = data,
                           .scales = (struct quantised_row *)(data + activation->scales),
                           .storage = activation->storage,
                           .rows = first_row ? images : images * activation->rows,
                           .columns = activation->columns,
                           .stride = (int64_t)step * activation->columns,
                           .scale_stride = step};
}

static struct window window_of(const struct operation *operation)
{
    return (struct window){.height = operation->height,
                           .width = operation->width,
                           .kernel = operation->kernel_width,
                           .stride = operation->stride,
                           .padding = operation->padding,
                           .out_height = operation->output_height,
                           .out_width = operation->output_width};
}

static struct product_call product_of(const struct cuda_plan *plan, const struct step *step, int images)
{
    const struct device *device = &plan->cuda->device;
    struct product_call call = {
        .a = matrix_of(plan, step->input, step->first_row, images),
        .weight = step->weight,
        .bias = step->bias,
        .finish = step->finish,
        .out = matrix_of(plan, step->output, step->first_row, images),
        .column_scale = step->scale,
        .column_sum = step->sums,
        .compute_capability = device->compute_capability,
        .multiprocessors = device->multiprocessors,
    };
    call.out.data = (char *)call.out.data + (size_t)step->first_column * storage_size(call.out.storage);
    call.out.columns = step->columns;
    if (step->windowed)
        call.window = window_of(step->operation);
    if (step->second >= 0) {
        struct matrix residual = matrix_of(plan, step->second, step->first_row, images);
        call.residual = residual.data;
        call.residual_stride = residual.stride;
    }
    return call;
}

static void run_attention(const struct cuda_plan *plan, const struct step *step, int images)
{
    const struct device *device = &plan->cuda->device;
    struct attention_call call = {
        .in = matrix_of(plan, step->input, false, images),
        .out = matrix_of(plan, step->output, step->first_row, images),
        .images = images,
        .tokens = plan->activations[step->input].rows,
        .heads = step->operation->heads,
        .map = step->map ? plan->map : NULL,
        .compute_capability = device->compute_capability,
        .multiprocessors = device->multiprocessors,
    };
    cuda_attention(device->compute, &call);
}

static enum status run_product(const struct cuda_plan *plan, const struct step *step, int images,
                               struct error *err)
{
    struct product_call call = product_of(plan, step, images);
    if (step->choice.library)
        return library_product(plan->cuda->library, &call, step->bias_half, &step->choice, err);
    cuda_product(plan->cuda->device.compute, &call);
    return STATUS_OK;
}

static void run_windows(const struct cuda_plan *plan, const struct step *step, int images)
{
    const struct window_call call = {.in = matrix_of(plan, step->input, false, images),
                                     .out = matrix_of(plan, step->output, false, images),
                                     .window = window_of(step->operation),
                                     .weight = step->weight,
                                     .bias = step->bias,
                                     .finish = step->finish};
    if (step->kind == STEP_DEPTHWISE)
        cuda_depthwise(plan->cuda->device.compute, &call);
    else
        cuda_max_pool(plan->cuda->device.compute, &call);
}

static void run_class_map(const struct cuda_plan *plan, const struct step *step, int images)
{
    const struct class_map_call call = {.features = matrix_of(plan, step->input, false, images),
                                        .places = plan->activations[step->input].rows,
                                        .classes = plan->plan.classes,
                                        .weight = step->weight,
                                        .logits = matrix_of(plan, step->second, false, images).data,
                                        .map = plan->map};
    cuda_class_map(plan->cuda->device.compute, &call);
}

static enum status run_step(const struct cuda_plan *plan, const struct step *step, int images,
                            struct error *err)
{
    device_stream stream = plan->cuda->device.compute;
    bool first = step->first_row;
    struct matrix out = matrix_of(plan, step->output, first, images), in = out;
    if (step->input >= 0)
        in = matrix_of(plan, step->input, first, images);
    switch (step->kind) {
    case STEP_PATCHES:
        cuda_patches(stream, plan->views, plan->table, window_of(step->operation), out);
        break;
    case STEP_TOKENS:
        cuda_tokens(stream, in, plan->activations[step->input].rows, step->weight, step->bias, out);
        break;
    case STEP_PRODUCT:
        return run_product(plan, step, images, err);
    case STEP_LAYERNORM:
        cuda_layernorm(stream, in, step->weight, step->bias, step->operation->epsilon, out);
        break;
    case STEP_ATTENTION:
        run_attention(plan, step, images);
        break;
    case STEP_GELU:
        cuda_gelu(stream, in, out);
        break;
    case STEP_ADD:
        cuda_add(stream, in, matrix_of(plan, step->second, first, images), out);
        break;
    case STEP_CONVERT:
        cuda_convert(stream, in, out);
        break;
    case STEP_DEPTHWISE:
    case STEP_MAX_POOL:
        run_windows(plan, step, images);
        break;
    case STEP_SUM_ROWS:
        cuda_sum_rows(stream, in, plan->activations[step->input].rows, step->group, step->factor, out);
        break;
    case STEP_SCALE:
        cuda_scale(stream, in, plan->activations[step->input].rows,
                   matrix_of(plan, step->second, false, images), out);
        break;
    case STEP_CLASS_MAP:
        run_class_map(plan, step, images);
        break;
    case STEP_KIND_COUNT:
        break;
    }
    return STATUS_OK;
}

// Puts all steps on the stream, for the views that are there, logits and map last.
static enum status run_steps(const struct cuda_plan *plan, int images, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < plan->step_count && status == STATUS_OK; i++)
        status = run_step(plan, &plan->steps[i], images, err);
    return status == STATUS_OK ? device_check(&plan->cuda->device, "starting the steps", err) : status;
}

// ---- slices ----

static int graph_of(int images)
{
    int index = 0;
    while (index < GRAPH_SIZES && 1 << index < images)
        index++;
    return index;
}

// Steps run once with our own products before others are timed: on values of their real size.
static enum status choose_products(struct cuda_plan *plan, struct error *err)
{
    struct library *library = plan->cuda->library;
    enum status status = library ? run_steps(plan, plan->slice, err) : STATUS_OK;
    for (int i = 0; i < plan->step_count && status == STATUS_OK && library; i++) {
        struct step *step = &plan->steps[i];
        if (step->kind != STEP_PRODUCT)
            continue;
        struct product_call call = product_of(plan, step, 1);
        status =
            library_choose(library, &call, step->bias_half, plan->slice == SLICE_MAX, &step->choice, err);
    }
    return status;
}

static enum status capture(struct cuda_plan *plan, int images, struct device_graph **graph, struct error *err)
{
    struct device *device = &plan->cuda->device;
    enum status status = device_capture_begin(device, err);
    if (status != STATUS_OK)
        return status;
    status = run_steps(plan, images, err);
    if (status == STATUS_OK)
        return device_capture_end(device, graph, err);
    device_capture_drop(device);
    return status;
}

// Each graph runs once as ordinary steps first: what the runtime loads at a kernel's first launch can't be
// loaded while capturing.
static enum status make_graphs(struct cuda_plan *plan, struct error *err)
{
    struct device *device = &plan->cuda->device;
    enum status status = STATUS_OK;
    for (int i = 0; i < GRAPH_SIZES && 1 << i <= plan->slice && status == STATUS_OK && device->graphs; i++) {
        status = run_steps(plan, 1 << i, err);
        if (status == STATUS_OK)
            status = device_finish(device, err);
        if (status == STATUS_OK)
            status = capture(plan, 1 << i, &plan->graphs[i], err);
    }
    return status;
}

static size_t map_size(const struct plan *plan)
{
    return (size_t)plan->heads * (size_t)plan->map_height * (size_t)plan->map_width;
}

enum status cuda_make_slices(struct cuda_plan *plan, struct error *err)
{
    struct device *device = &plan->cuda->device;
    size_t images = (size_t)plan->slice, views = images * (size_t)plan->plan.view_size;
    size_t logits = images * (size_t)plan->plan.classes * sizeof(float);
    size_t map = images * map_size(&plan->plan) * sizeof(float);
    size_t embedding = images * (size_t)plan->plan.embedding_width * sizeof(float);
    enum status status = device_alloc(device, (void **)&plan->memory, plan->activations_size, err);
    if (status == STATUS_OK)
        status = device_alloc(device, (void **)&plan->views, views, err);
    if (status == STATUS_OK && map > 0)
        status = device_alloc(device, (void **)&plan->map, map, err);
    for (int slot = 0; slot < DEVICE_SLOTS && status == STATUS_OK; slot++) {
        status = device_alloc(device, (void **)&plan->sent[slot], views, err);
        if (status == STATUS_OK)
            status = device_alloc_pinned(device, (void **)&plan->staged[slot], views, err);
        if (status == STATUS_OK)
            status = device_alloc_pinned(device, (void **)&plan->logits_out[slot], logits, err);
        if (status == STATUS_OK)
            status = device_alloc_pinned(device, (void **)&plan->embedding_out[slot], embedding, err);
        if (status == STATUS_OK && map > 0)
            status = device_alloc_pinned(device, (void **)&plan->map_out[slot], map, err);
    }
    if (status != STATUS_OK)
        return status;
    plan->logits = matrix_of(plan, plan->network->logits, false, 1).data;
    const struct activation *embedding_shape = &plan->activations[plan->network->embedding];
    assert(embedding_shape->rows == 1 && embedding_shape->storage == STORE_FP32);
    plan->embedding = matrix_of(plan, plan->network->embedding, false, 1).data;
    plan->plan.memory_size = plan->activations_size + (1 + DEVICE_SLOTS) * views + map;
    memset(plan->staged[0], 0,
           views); // the graphs' first run, and images that fill up a slice, read something
    status = device_upload(device, plan->views, plan->staged[0], views, err);
    if (status == STATUS_OK)
        status = choose_products(plan, err);
    return status == STATUS_OK ? make_graphs(plan, err) : status;
}

void cuda_free_slices(struct cuda_plan *plan)
{
    struct device *device = &plan->cuda->device;
    for (int i = 0; i < GRAPH_SIZES; i++)
        device_graph_free(device, plan->graphs[i]);
    for (int slot = 0; slot < DEVICE_SLOTS; slot++) {
        device_free(device, plan->sent[slot]);
        device_free_pinned(device, plan->staged[slot]);
        device_free_pinned(device, plan->logits_out[slot]);
        device_free_pinned(device, plan->embedding_out[slot]);
        device_free_pinned(device, plan->map_out[slot]);
    }
    device_free(device, plan->map);
    device_free(device, plan->views);
    device_free(device, plan->memory);
}

struct slice {
    int first, images, slot;
};

static enum status compute(struct cuda_plan *plan, int images, struct error *err)
{
    int index = graph_of(images);
    bool fits = index < GRAPH_SIZES && plan->graphs[index];
    if (fits && (images <= GRAPH_PAD_MAX || 1 << index == images))
        return device_graph_launch(&plan->cuda->device, plan->graphs[index], err);
    return run_steps(plan, images, err);
}

static enum status receive(struct cuda_plan *plan, const struct slice *slice, bool embedding,
                           struct error *err)
{
    struct device *device = &plan->cuda->device;
    size_t values = (size_t)slice->images * sizeof(float);
    int slot = slice->slot;
    enum status status = device_receive(device, plan->logits_out[slot], plan->logits,
                                        values * (size_t)plan->plan.classes, err);
    if (status == STATUS_OK && plan->map)
        status = device_receive(device, plan->map_out[slot], plan->map, values * map_size(&plan->plan), err);
    if (status == STATUS_OK && embedding)
        status = device_receive(device, plan->embedding_out[slot], plan->embedding,
                                values * (size_t)plan->plan.embedding_width, err);
    return status == STATUS_OK ? device_mark(device, slot, err) : status;
}

static enum status start_slice(struct cuda_plan *plan, const uint8_t *const *views, const struct slice *slice,
                               bool embedding, struct error *err)
{
    struct device *device = &plan->cuda->device;
    size_t view_size = (size_t)plan->plan.view_size, images = (size_t)slice->images;
    int slot = slice->slot;
    for (size_t i = 0; i < images; i++)
        memcpy(plan->staged[slot] + i * view_size, views[(size_t)slice->first + i], view_size);
    enum status status =
        device_send(device, slot, plan->sent[slot], plan->staged[slot], images * view_size, err);
    if (status == STATUS_OK)
        status = device_copy(device, plan->views, plan->sent[slot], images * view_size, err);
    if (status == STATUS_OK)
        status = compute(plan, slice->images, err);
    return status == STATUS_OK ? receive(plan, slice, embedding, err) : status;
}

static enum status end_slice(struct cuda_plan *plan, const struct slice *slice,
                             const struct inference *result, struct error *err)
{
    const struct plan *base = &plan->plan;
    const struct inference own = inference_from(base, result, slice->first);
    size_t values = (size_t)slice->images * sizeof(float);
    enum status status = device_wait(&plan->cuda->device, slice->slot, err);
    if (status != STATUS_OK)
        return status;
    memcpy(own.logits, plan->logits_out[slice->slot], values * (size_t)base->classes);
    if (own.attention)
        memcpy(own.attention, plan->map_out[slice->slot], values * map_size(base));
    if (own.embedding)
        memcpy(own.embedding, plan->embedding_out[slice->slot], values * (size_t)base->embedding_width);
    return STATUS_OK;
}

enum status cuda_run(struct plan *base, const uint8_t *const *views, int count,
                     const struct inference *result, struct error *err)
{
    struct cuda_plan *plan = (struct cuda_plan *)base;
    struct slice running = {.images = 0}, next;
    enum status status = STATUS_OK;
    for (int first = 0; first < count && status == STATUS_OK; first += next.images) {
        int rest = count - first;
        next = (struct slice){first, rest < plan->slice ? rest : plan->slice,
                              running.images > 0 ? 1 - running.slot : 0};
        status = start_slice(plan, views, &next, result->embedding != NULL, err);
        if (status == STATUS_OK && running.images > 0)
            status = end_slice(plan, &running, result, err);
        running = next;
    }
    return status == STATUS_OK ? end_slice(plan, &running, result, err) : status;
}
