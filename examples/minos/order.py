from minos.saga import Saga, SagaContext, SagaRequest, SagaResponse


def reserve(context: SagaContext) -> SagaContext:
    context["reservation"] = f"book for {context['city']}"
    return context


def release(context: SagaContext) -> SagaContext:
    print(f"release the {context['reservation']}")
    return context


def charge(context: SagaContext) -> SagaRequest:
    return SagaRequest("Charge", {"amount": context["amount"]})


async def charged(context: SagaContext, response: SagaResponse) -> SagaContext:
    context["payment"] = await response.content()
    return context


def refund(context: SagaContext) -> SagaRequest:
    return SagaRequest("Refund", {"payment_id": context["payment"]["payment_id"]})


saga = Saga()
saga.local_step().on_execute(reserve).on_failure(release)
saga.remote_step().on_execute(charge).on_success(charged).on_failure(refund)
PLACE_ORDER = saga.commit()
