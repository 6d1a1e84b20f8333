using System.Text.Json;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Tasks;

public sealed class DependencyTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task A_task_waits_until_what_it_depends_on_has_completed()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var (first, second) = (await SubmitAsync(), await SubmitAsync());
        var last = await SubmitAsync(first.Id(), second.Id());
        Assert.Equal("blocked", last.Text("status"));
        Assert.Equal([first.Id(), second.Id()], last.Items("depends_on").Select(id => id.GetString()));

        await worker.CompleteAsync(first.Id());
        Assert.Equal("blocked", await alice.StatusAsync(last.Id()));
        await worker.CompleteAsync(second.Id());

        Assert.Equal("assigned", await alice.StatusAsync(last.Id()));
    }

    [Fact]
    public async Task Tasks_of_one_array_may_depend_on_later_ones()
    {
        var (a, b, c) = (Unique.Id(), Unique.Id(), Unique.Id());

        var tasks = (await alice.PostAsync("/api/v1/tasks", new object[]
        {
            new { id = a, title = "a", scope = capability, depends_on = new[] { b, c } },
            new { id = b, title = "b", scope = capability, depends_on = new[] { c } },
            new { id = c, title = "c", scope = capability },
        })).Expect(201);

        Assert.Equal([a, b, c], tasks.Ids());
        Assert.Equal(["blocked", "blocked", "pending"], tasks.Items().Select(task => task.Text("status")));
    }

    [Fact]
    public async Task A_circle_is_refused_and_nothing_is_taken_in()
    {
        var (a, b, c) = (Unique.Id(), Unique.Id(), Unique.Id());

        var reply = await alice.PostAsync("/api/v1/tasks", new object[]
        {
            new { id = a, title = "a", depends_on = new[] { b } },
            new { id = b, title = "b", depends_on = new[] { c } },
            new { id = c, title = "c", depends_on = new[] { a } },
        });

        Assert.Equal(["tasks[0].depends_on"], reply.ExpectFaults());
        (await alice.GetAsync($"/api/v1/tasks/{a}")).ExpectProblem(404, "task_not_found");
    }

    [Fact]
    public async Task A_task_can_not_wait_for_itself()
    {
        var id = Unique.Id();

        Assert.Equal(["depends_on"], (await alice.PostAsync("/api/v1/tasks", new { id, title = "x", depends_on = new[] { id } })).ExpectFaults());
    }

    [Fact]
    public async Task A_task_can_not_be_its_own_ancestor()
    {
        var (a, b) = (Unique.Id(), Unique.Id());

        var reply = await alice.PostAsync("/api/v1/tasks", new[] { new { id = a, title = "a", parent_id = b }, new { id = b, title = "b", parent_id = a } });

        Assert.Equal(["tasks[0].parent_id"], reply.ExpectFaults());
    }

    [Fact]
    public async Task A_dependency_that_does_not_exist_is_refused()
    {
        var there = (await SubmitAsync()).Id();

        Assert.Equal(["depends_on[1]"], (await alice.PostAsync("/api/v1/tasks", new { title = "x", depends_on = new[] { there, Unique.Id() } })).ExpectFaults());
        Assert.Equal(["parent_id"], (await alice.PostAsync("/api/v1/tasks", new { title = "x", parent_id = Unique.Id() })).ExpectFaults());
    }

    [Fact]
    public async Task A_dependency_that_has_completed_already_holds_nothing_up()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var first = (await SubmitAsync()).Id();
        await worker.CompleteAsync(first);

        Assert.Equal("assigned", (await SubmitAsync(first)).Text("status"));
    }

    [Fact]
    public async Task A_dependency_that_was_cancelled_cancels_at_once()
    {
        var first = (await SubmitAsync()).Id();
        (await alice.PatchAsync($"/api/v1/tasks/{first}", new { status = "cancelled" })).Expect(200);

        var task = await SubmitAsync(first);

        Assert.Equal("cancelled", task.Text("status"));
        Assert.Contains(first, task.Text("error"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task When_a_dependency_fails_all_that_wait_for_it_are_cancelled_with_the_reason()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var first = (await SubmitAsync()).Id();
        var second = (await SubmitAsync(first)).Id();
        var third = (await SubmitAsync(second)).Id();

        await worker.FailAsync(first, retryable: false);

        Assert.Equal($"Dependency {first} ended as failed.", (await alice.EndOfAsync(second)).Text("error"));
        Assert.Equal($"Dependency {second} ended as cancelled.", (await alice.EndOfAsync(third)).Text("error"));
    }

    [Fact]
    public async Task A_dependency_that_is_retried_keeps_its_dependants_waiting()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var first = (await SubmitAsync()).Id();
        var second = (await SubmitAsync(first)).Id();

        await worker.FailAsync(first, retryable: true);

        Assert.Equal("blocked", await alice.StatusAsync(second));
    }

    [Fact]
    public async Task A_scheduled_task_waits_for_its_time_and_then_for_its_dependencies()
    {
        var first = (await SubmitAsync()).Id();
        var task = await alice.SubmitAsync(new { title = "x", scope = capability, depends_on = new[] { first }, run_at = DateTimeOffset.UtcNow.AddSeconds(1.5) });
        Assert.Equal("scheduled", task.Text("status"));

        await alice.ReachesAsync(task.Id(), "blocked");
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        await worker.CompleteAsync(first);

        Assert.Equal("assigned", await alice.StatusAsync(task.Id()));
    }

    [Fact]
    public async Task A_parent_says_something_and_decides_nothing()
    {
        var parent = (await SubmitAsync()).Id();

        var child = await alice.SubmitAsync(new { title = "child", scope = capability, parent_id = parent });

        Assert.Equal("pending", child.Text("status"));
        Assert.Equal([child.Id()], (await alice.GetAsync($"/api/v1/tasks?parent_id={parent}")).Expect(200).Ids());
    }

    [Fact]
    public async Task A_cancelled_task_whose_dependency_failed_meanwhile_is_cancelled_again_when_it_is_retried()
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability);
        var first = (await SubmitAsync()).Id();
        var second = (await SubmitAsync(first)).Id();
        await worker.FailAsync(first, retryable: false);
        await alice.EndOfAsync(second);

        var task = (await alice.PostAsync($"/api/v1/tasks/{second}/retry")).Expect(200);

        Assert.Equal("cancelled", task.Text("status"));
    }

    private Task<JsonElement> SubmitAsync(params string[] dependsOn) => alice.SubmitAsync(new { title = "x", scope = capability, depends_on = dependsOn });
}
