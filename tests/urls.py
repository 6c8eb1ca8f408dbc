"""The test project's URLs: none of its own."""

urlpatterns: list[object] = []
