from django.urls import include, path

urlpatterns = [path("", include("orders_ui.urls"))]

handler500 = "orders_ui.views.errors.broken"
